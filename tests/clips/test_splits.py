import pytest

from basicsr_ssm.clips.splits import SplitRule, parse_shares
from basicsr_ssm.errors import UserError

NAMES = [f'patient{i}' for i in range(20)]


def test_shares_use_every_source_once():
    splits = SplitRule().assign(NAMES)
    assert {split: len(names) for split, names in splits.items()} == {'train': 16, 'val': 2, 'test': 2}
    assert sorted(sum(splits.values(), [])) == sorted(NAMES)


def test_the_draw_depends_on_the_seed_only():
    rule = SplitRule(seed=3)
    assert rule.assign(NAMES) == rule.assign(NAMES[::-1])
    assert rule.assign(NAMES) != SplitRule(seed=4).assign(NAMES)
    assert SplitRule(seed=0).assign(['a', 'b', 'c']) == {'train': ['a'], 'val': ['c'], 'test': ['b']}  # for all time


def test_every_split_gets_a_source():
    splits = SplitRule({'train': 0.98, 'val': 0.01, 'test': 0.01}).assign(NAMES[:3])
    assert [len(names) for names in splits.values()] == [1, 1, 1]
    assert SplitRule({'test': 1.0, 'val': 0.0}).assign(NAMES[:1]) == {'test': ['patient0']}
    with pytest.raises(UserError, match='3 splits .* there are 2 that can be used: clips of one source never'):
        SplitRule().assign(NAMES[:2])


def test_lists():
    rule = SplitRule(lists={'val': ('patient3',), 'test': ('patient1', 'patient2')})
    rule.check_names(NAMES)
    splits = rule.assign(NAMES[:5])
    assert splits == {'train': ['patient0', 'patient4'], 'val': ['patient3'], 'test': ['patient1', 'patient2']}
    assert SplitRule(lists={'test': ('a',)}).assign(['a']) == {'test': ['a']}
    with pytest.raises(UserError, match='no source named nobody; there are patient0'):
        SplitRule(lists={'val': ('nobody',)}).check_names(NAMES)
    with pytest.raises(UserError, match='patient1 is listed twice'):
        SplitRule(lists={'val': ('patient1',), 'test': ('patient1',)}).check_names(NAMES)


def test_shares_in_words():
    assert parse_shares('train=0.9, val=0.1') == {'train': 0.9, 'val': 0.1}
    assert parse_shares('train=0.33,val=0.33,test=0.33') == {'train': 0.33, 'val': 0.33, 'test': 0.33}
    assert parse_shares('test=1,val=0') == {'test': 1, 'val': 0}
    for text in ('train', 'train=x', 'trian=1', 'train=1,train=1', 'train=-1', 'train=nan', 'train=0', ''):
        with pytest.raises(UserError, match='--split'):
            parse_shares(text)


def test_shares_are_shares():
    for text, message in (
        ('train=2', 'a share is a number from 0 to 1'),
        ('train=80,val=20', 'a share is a number from 0 to 1'),
        ('train=inf', 'a share is'),
        ('train=0.8,val=0.8', 'add up to 1.6, not to 1'),
        ('train=0.5', 'add up to 0.5, not to 1'),
        ('train=0.8,val=0.1', 'add up to 0.9'),
        ('train=0,val=0', 'add up to 0, not to 1'),
    ):
        with pytest.raises(UserError, match=message) as caught:
            parse_shares(text)
        assert str(caught.value).startswith(f'--split {text}: ')
    with pytest.raises(UserError, match='add up to 1.5'):
        SplitRule({'train': 1.0, 'val': 0.5})
    for rule in ({'shares': {'tarin': 1.0}}, {'lists': {'tset': ('a',)}}):
        with pytest.raises(UserError, match='there is no split (tarin|tset); there are train, val, test'):
            SplitRule(**rule)
