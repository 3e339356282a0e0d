"""Several runs that make one data set: the bytes of one run, whatever happens to them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from killed_runs import killed_at, tree

import basicsr_ssm
from basicsr_ssm.clips import merge, prepare_command
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.discover import find_sources
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.output_folder import locked
from basicsr_ssm.clips.prepare import merge_shards, prepare, prepare_shard
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.shard import Shard
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.errors import UserError


def recipe(form='lmdb', length=4, **options):
    return Recipe(Cutting(length, length, None, (4,)), SplitRule(), form, **options)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Flushing all disks of a busy machine takes seconds."""
    monkeypatch.setattr(os, 'sync', lambda: None)


@pytest.fixture
def sources(tmp_path, moving_frames, write_folder):
    """Five folders of 8 frames, a copy of one, one with a damaged frame and one that is too short."""
    for seed in range(5):
        write_folder(tmp_path / 'in' / f'scan{seed}', moving_frames(8, 50, 70, seed))
    write_folder(tmp_path / 'in' / 'twin', moving_frames(8, 50, 70, 0))
    write_folder(tmp_path / 'in' / 'short', moving_frames(3, 50, 70, 6))
    bad = write_folder(tmp_path / 'in' / 'broken', moving_frames(8, 50, 70, 7))
    (bad / 'frame7.png').write_bytes((bad / 'frame7.png').read_bytes()[:-20])
    return find_sources([tmp_path / 'in'])


def shards_of(sources, out, count, *args, **options):
    for number in range(count, 0, -1):  # the order does not matter
        prepare_shard(sources, out, *args, Shard(number, count), workers=1, **options)


@pytest.mark.parametrize('form', ['png', 'lmdb'])
@pytest.mark.parametrize('count', [1, 3, 11])  # more shards than sources: some have nothing to do
def test_the_bytes_of_one_run(tmp_path, sources, form, count):
    whole = prepare(sources, tmp_path / 'whole', recipe(form))
    assert [entry['name'] for entry in whole['skipped']] == ['broken', 'twin']
    shards_of(sources, tmp_path / 'out', count, recipe(form))
    assert not (tmp_path / 'out' / 'manifest.json').exists()
    assert merge_shards(tmp_path / 'out') == whole
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_masks_and_anonymous_sources(tmp_path, sources):
    treated = recipe(footage=Footage(masks=True), anonymous=True)
    prepare(sources, tmp_path / 'whole', treated)
    shards_of(sources, tmp_path / 'out', 2, treated)
    merge_shards(tmp_path / 'out')
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')
    assert any('masks' in path for path in tree(tmp_path / 'out'))


def test_what_is_finished_is_left_alone(tmp_path, sources):
    shards_of(sources, tmp_path / 'out', 2, recipe())
    first = merge_shards(tmp_path / 'out')
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('*')}
    assert merge_shards(tmp_path / 'out') == first == prepare(sources, tmp_path / 'out', recipe())
    assert prepare_shard(sources, tmp_path / 'out', recipe(), Shard(1, 2)) is None
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / 'out').rglob('*')} == before
    with pytest.raises(UserError, match='other settings'):
        prepare_shard(sources, tmp_path / 'out', recipe(length=3), Shard(1, 2))
    with pytest.raises(UserError, match='without a source: .*broken.*--strict'):
        merge_shards(tmp_path / 'out', strict=True)


def test_a_shard_that_was_killed_goes_on(tmp_path, sources):
    prepare(sources, tmp_path / 'whole', recipe())
    out, step = tmp_path / 'out', 2
    while killed_at(step, lambda: prepare_shard(sources, out, recipe(), Shard(1, 2), workers=1)):
        step += 1
        with pytest.raises(UserError, match='of 2 shards these have not finished: 1, 2'):
            merge_shards(out)
    assert step > 5
    prepare_shard(sources, out, recipe(), Shard(2, 2))
    merge_shards(out)
    assert tree(out) == tree(tmp_path / 'whole')


def test_a_merge_that_was_killed_goes_on(tmp_path, sources):
    prepare(sources, tmp_path / 'whole', recipe('png'))
    out, step = tmp_path / 'out', 1
    shards_of(sources, out, 2, recipe('png'))
    while killed_at(step, lambda: merge_shards(out)):
        step += 1
        prepare_shard(sources, out, recipe('png'), Shard(2, 2))  # a scheduler may start one again: it changes nothing
    assert step > 3
    assert tree(out) == tree(tmp_path / 'whole')


def test_shards_that_do_not_belong_together(tmp_path, sources):
    out = tmp_path / 'out'
    prepare_shard(sources, out, recipe(), Shard(1, 2))
    with pytest.raises(UserError, match='was begun in 2 shards, not 3'):
        prepare_shard(sources, out, recipe(), Shard(1, 3))
    with pytest.raises(UserError, match=r'begun with --shard; .*prepare merge'):
        prepare(sources, out, recipe())
    fewer = {name: path for name, path in sources.items() if name != 'short'}
    prepare_shard(fewer, out, recipe(), Shard(2, 2))
    with pytest.raises(UserError, match='shard_2_of_2 was made from other sources than shard_1_of_2'):
        merge_shards(out)
    with pytest.raises(UserError, match='source .* is new'):
        prepare_shard(sources, out, recipe(), Shard(2, 2))
    other = tmp_path / 'other'
    for number, length in ((1, 4), (2, 3)):
        prepare_shard(sources, other, recipe(length=length), Shard(number, 2))
    with pytest.raises(UserError, match=r'other settings \(clip_length: 4, now 3'):
        merge_shards(other)
    begun = tmp_path / 'begun'
    killed_at(4, lambda: prepare(sources, begun, recipe()))
    with pytest.raises(UserError, match='begun without --shard'):
        prepare_shard(sources, begun, recipe(), Shard(1, 2))


def test_nothing_to_merge(tmp_path):
    with pytest.raises(UserError, match='holds no shards'):
        merge_shards(tmp_path / 'none')
    assert not (tmp_path / 'none').exists()


def test_two_writers(tmp_path, sources):
    """The same shard twice is refused, and so is a merge while a shard runs; other shards may run beside it."""
    out = tmp_path / 'out'
    work = out / '.partial'
    with locked(work, shared=True), locked(work / 'shard_1_of_2'):
        with pytest.raises(UserError, match=r'shard 1/2 of .*out: another run is preparing'):
            prepare_shard(sources, out, recipe(), Shard(1, 2))
        prepare_shard(sources, out, recipe(), Shard(2, 2))
        with pytest.raises(UserError, match='another run is preparing'):
            merge_shards(out)


def test_strict(tmp_path, sources):
    with pytest.raises(UserError, match=r'frame7\.png.*--strict'):
        shards_of(sources, tmp_path / 'a', 4, recipe(), strict=True)
    shards_of(sources, tmp_path / 'b', 4, recipe())
    with pytest.raises(UserError, match=r'frame7\.png.*--strict'):
        merge_shards(tmp_path / 'b', strict=True)
    del sources['broken']
    shards_of(sources, tmp_path / 'c', 4, recipe(), strict=True)  # none of them sees both copies
    with pytest.raises(UserError, match=r'twin: has the same content as .*scan0 \(--strict\)'):
        merge_shards(tmp_path / 'c', strict=True)
    merge_shards(tmp_path / 'c')


@pytest.mark.parametrize('text', ['0/3', '4/3', '3', 'a/b', '1/0', '-1/2', '1/2/3'])
def test_bad_shards(text):
    with pytest.raises(UserError, match=f'--shard {text}: expected I/N'):
        Shard.parse(text)


def test_shares_are_all_there_is():
    items = list(range(17))
    shares = [Shard(number, 5).share(items) for number in range(1, 6)]
    assert sorted(sum(shares, [])) == items and {len(share) for share in shares} == {3, 4}


def test_commands_at_the_same_time(tmp_path, sources, capsys):
    """As a job array does: all shards at once, each a process of its own."""

    def command(*args):
        return [sys.executable, '-m', 'basicsr_ssm', 'prepare', *map(str, args)]

    options = ['--source', tmp_path / 'in', '--clip-length', 4, '--workers', 1]
    environment = {**os.environ, 'PYTHONPATH': str(Path(basicsr_ssm.__file__).parents[1])}
    out = tmp_path / 'out'
    running = [
        subprocess.Popen(
            command('custom', *options, '--output', out, '--shard', f'{number}/2'),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in (1, 2)
    ]
    said = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert all(f'when all 2 shards are done: basicsr-ssm prepare merge {out}' in text for text in said)
    parser = prepare_command.argparse.ArgumentParser()
    merge.add_arguments(parser)
    assert merge.run(parser.parse_args([str(out)])) == 0
    assert 'train' in capsys.readouterr().out
    prepare(sources, tmp_path / 'whole', recipe())
    assert tree(out) == tree(tmp_path / 'whole')
