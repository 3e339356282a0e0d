"""What stands in the way of an output: mount points, links, what a killed run left, what appears meanwhile."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import pytest
from synthetic_video import marked_frames

from basicsr_ssm.clips import mount_point
from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.clips.mount_point import is_mount_point
from basicsr_ssm.clips.output import plan_output
from basicsr_ssm.clips.video_encoding import OutputError
from basicsr_ssm.clips.writer_context import part_beside

NAMES = pytest.mark.parametrize('name', ['out', 'out.mkv'])


def write(output, count=2, meanwhile=lambda: None):
    with output.open((48, 64), Clock.constant(Fraction(25))) as writer:
        for frame in marked_frames(count):
            writer.write(frame)
        meanwhile()


def bytes_below(path):
    return sum(p.stat().st_size for p in [path, *path.rglob('*')] if p.is_file())


@NAMES
def test_what_a_killed_run_left_is_in_nobodys_way(name, tmp_path):
    """In a container, all runs may be of process 1."""
    left = part_beside(tmp_path / name)
    left.mkdir() if name == 'out' else left.write_text('half')
    assert part_beside(tmp_path / name) != left
    write(plan_output(tmp_path / name, tmp_path / 'in.mp4'))
    assert set(tmp_path.iterdir()) == {left, tmp_path / name}


@NAMES
def test_where_the_last_step_fails_nothing_is_lost(name, tmp_path, monkeypatch):
    replace = os.replace

    def busy(source, target):
        if target == tmp_path / name:
            raise OSError(errno.EBUSY, 'Device or resource busy')
        replace(source, target)

    output = plan_output(tmp_path / name, tmp_path / 'in.mp4')
    monkeypatch.setattr(os, 'replace', busy)
    with pytest.raises(OutputError, match=rf'{name}: cannot be put in place \(Device .*\); all of it is in .*\.part$'):
        write(output)
    (part,) = tmp_path.iterdir()
    assert part.name.startswith(f'.{name}.') and bytes_below(part) > 100


@NAMES
def test_what_appears_meanwhile_is_not_replaced(name, tmp_path):
    other = plan_output(tmp_path / name, tmp_path / 'in.mp4')
    with pytest.raises(OutputError, match=f'{name}: .* appeared there.*; all of it is in'):
        write(plan_output(tmp_path / name, tmp_path / 'in.mp4'), meanwhile=lambda: write(other, 5))
    (part,) = tmp_path.glob('.*.part')
    assert bytes_below(tmp_path / name) > bytes_below(part) > 100
    write(plan_output(tmp_path / name, tmp_path / 'in.mp4', overwrite=True))


def test_an_empty_folder_that_is_there_is_used(tmp_path):
    (tmp_path / 'out').mkdir()
    write(plan_output(tmp_path / 'out', tmp_path / 'in.mp4'))
    assert len(os.listdir(tmp_path / 'out')) == 2 and os.listdir(tmp_path) == ['out']


@NAMES
def test_a_link_stays_one_and_its_target_is_written(name, tmp_path):
    (tmp_path / 'disk').mkdir()
    target = tmp_path / 'disk' / name
    target.mkdir() if name == 'out' else target.write_text('old')
    (tmp_path / name).symlink_to(target)
    write(plan_output(tmp_path / name, tmp_path / 'in.mp4', overwrite=True))
    assert (tmp_path / name).readlink() == target and bytes_below(target) > 100
    assert sorted(os.listdir(tmp_path)) == sorted(['disk', name]) and os.listdir(tmp_path / 'disk') == [name]


def test_a_mount_point_is_refused_before_any_frame(tmp_path, monkeypatch):
    (tmp_path / 'my out').mkdir()
    escaped = str(tmp_path / 'my out').replace(' ', r'\040')
    lines = '29 1 254:1 / / rw - ext4 /dev/x rw', f'31 29 254:1 /data {escaped} rw - ext4 /dev/x rw'
    (tmp_path / 'mounts').write_text('\n'.join(lines))
    monkeypatch.setattr(mount_point, '_MOUNTS', tmp_path / 'mounts')
    with pytest.raises(OutputError, match='my out: is a mount point.*choose a name inside of it'):
        plan_output(tmp_path / 'my out', tmp_path / 'in.mp4')
    write(plan_output(tmp_path / 'my out' / 'frames', tmp_path / 'in.mp4'))


def test_mount_points_of_this_machine(tmp_path, monkeypatch):
    for mounts in (mount_point._MOUNTS, tmp_path / 'there is none'):
        monkeypatch.setattr(mount_point, '_MOUNTS', mounts)
        assert is_mount_point(Path('/')) and is_mount_point(Path('/proc')) and not is_mount_point(tmp_path)


@pytest.mark.parametrize('name', ['.mp4', '.MKV'])
def test_a_suffix_without_a_name_is_no_folder(name, tmp_path):
    """`"$name.mp4"` where the variable is empty."""
    with pytest.raises(OutputError, match=rf'{name}: is a suffix without a name'):
        plan_output(tmp_path / name, tmp_path / 'in.mp4')
