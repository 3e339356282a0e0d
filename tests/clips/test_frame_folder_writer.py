import os

import numpy as np
import pytest
from synthetic_video import marked_frames

from basicsr_ssm.clips.clock import Clock
from basicsr_ssm.clips.frame_folder_writer import FrameFolderWriter
from basicsr_ssm.clips.output import plan_output
from basicsr_ssm.clips.sources import open_source
from basicsr_ssm.clips.video_encoding import OutputError


def write(path, frames, start=0):
    with FrameFolderWriter(path, frames[0].shape[:2], start) as writer:
        for frame in frames:
            writer.write(frame)


def test_frames_come_back_exactly_under_their_numbers(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
    write(tmp_path / 'deep' / 'out', frames, start=9)
    assert sorted(os.listdir(tmp_path / 'deep' / 'out')) == ['00000009.png', '00000010.png', '00000011.png']
    assert os.listdir(tmp_path / 'deep') == ['out']
    assert np.array_equal(np.stack(list(open_source(tmp_path / 'deep' / 'out').frames())), frames)


def test_an_exception_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), FrameFolderWriter(tmp_path / 'out', (48, 64)) as writer:
        writer.write(marked_frames(1)[0])
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_replacing_leaves_only_the_new_frames(tmp_path):
    write(tmp_path / 'out', marked_frames(5))
    write(tmp_path / 'out', marked_frames(2), start=1)
    assert sorted(os.listdir(tmp_path / 'out')) == ['00000001.png', '00000002.png']
    assert os.listdir(tmp_path) == ['out']


def test_a_folder_with_other_things_is_never_replaced(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'thesis.tex').write_text('years of work')
    with pytest.raises(OutputError, match='holds other things'):
        write(tmp_path / 'out', marked_frames(1))
    with pytest.raises(OutputError, match='holds other things'):
        plan_output(tmp_path / 'out', tmp_path / 'source.mp4', overwrite=True)
    assert os.listdir(tmp_path / 'out') == ['thesis.tex']
    (part,) = tmp_path.glob('.out.*.part')  # nor are the new frames lost
    assert os.listdir(part) == ['00000000.png']


def test_frames_of_another_size_are_refused(tmp_path):
    with pytest.raises(OutputError, match=r'00000001\.png.*\(40, 64, 3\)'):
        write(tmp_path / 'out', [*marked_frames(1), *marked_frames(1, 40, 64)])


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OutputError, match='file/out'):
        FrameFolderWriter(tmp_path / 'file' / 'out', (4, 4))


def test_plan_refuses_what_exists_unless_told_otherwise(tmp_path):
    source = tmp_path / 'source.mp4'
    (tmp_path / 'old.mp4').write_text('old')
    write(tmp_path / 'frames', marked_frames(1))
    for name in ('old.mp4', 'frames'):
        with pytest.raises(OutputError, match=f'{name}: .*--overwrite'):
            plan_output(tmp_path / name, source)
        plan_output(tmp_path / name, source, overwrite=True)


def test_plan_never_overwrites_the_input(tmp_path):
    write(tmp_path / 'frames', marked_frames(1))
    (tmp_path / 'clip.mp4').write_text('')
    os.link(tmp_path / 'clip.mp4', tmp_path / 'same.mp4')
    for path, source in (('frames', 'frames'), ('clip.mp4', 'clip.mp4'), ('same.mp4', 'clip.mp4')):
        with pytest.raises(OutputError, match='input itself'):
            plan_output(tmp_path / path, tmp_path / source, overwrite=True)
    with pytest.raises(OutputError, match='inside the input'):
        plan_output(tmp_path / 'frames' / 'restored', tmp_path / 'frames')


def test_plan_tells_files_from_folders(tmp_path):
    source = tmp_path / 'source.mp4'
    assert plan_output(tmp_path / 'a.MP4', source).encoding.codec == 'libx264'
    assert plan_output(tmp_path / 'a', source).encoding is None
    (tmp_path / 'run.2').mkdir()
    assert plan_output(tmp_path / 'run.2', source).encoding is None
    with pytest.raises(OutputError, match='--crf'):
        plan_output(tmp_path / 'a', source, crf=3)
    with pytest.raises(OutputError, match=r"'\.gif'"):
        plan_output(tmp_path / 'a.gif', source)
    writer = plan_output(tmp_path / 'a', source).open((4, 4), Clock.constant(25))
    writer.abort()
    assert isinstance(writer, FrameFolderWriter)
