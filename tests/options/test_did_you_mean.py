import pytest

from basicsr_ssm.options.errors import did_you_mean

NETWORKS = ['ArcFaceGenerator', 'BasicVSR', 'EDVR', 'MedVSR', 'RRDBNet', 'VSRM']


@pytest.mark.parametrize(
    'word, known, meant',
    [
        ('vrsm', NETWORKS, 'VSRM'),
        ('vsrm', NETWORKS, 'VSRM'),
        ('medvrs', NETWORKS, 'MedVSR'),
        ('TOTAL_ITERS', ['accumulate', 'amp', 'total_iter'], 'total_iter'),
        ('PIXEL_OP', ['accumulate', 'pixel_opt'], 'pixel_opt'),
        ('Eps', ['eps', 'EPS_MAX'], 'eps'),
    ],
)
def test_capitals_make_no_difference_to_what_was_meant(word, known, meant):
    asked, _, listed = did_you_mean(word, known).partition(' known: ')
    assert asked == f'did you mean {meant}?'
    assert sorted(listed.split(', ')) == sorted(known) and listed.startswith(meant)


def test_where_nothing_is_near_all_is_listed():
    assert did_you_mean('xyzzy', ['b', 'a']) == 'known: a, b'
    assert did_you_mean('xyzzy', []) == 'known: nothing'
