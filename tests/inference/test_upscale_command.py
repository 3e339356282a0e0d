import os
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction

import numpy as np
import pytest
import torch
from synthetic_video import audio_packets, frame_times, make_video, mark_of, marked_frames

from basicsr_ssm.archs import MedVSR
from basicsr_ssm.clips.frame_folder_writer import FrameFolderWriter
from basicsr_ssm.clips.sources import DamagedSourceError, open_source
from basicsr_ssm.errors import UserError
from basicsr_ssm.inference import upscale_command
from basicsr_ssm.inference.memory_plan import MemoryModel
from basicsr_ssm.inference.restore import RestoreError


def read(path):
    return list(open_source(path).frames())


def make_folder(path, frames):
    with FrameFolderWriter(path, frames[0].shape[:2]) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def make_dicom(path, frames, **attributes):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, UltrasoundMultiFrameImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, 'RGB'
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    for name, value in (attributes or {'FrameTime': '50'}).items():
        setattr(dataset, name, value)
    dataset.PixelData = frames.tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture
def video(tmp_path):
    """40 marked frames of 32x24 with sound."""
    make_video(tmp_path / 'in.mp4', marked_frames(40, 24, 32), audio='aac')
    return tmp_path / 'in.mp4'


def test_video_to_video_with_its_sound(upscale, enlarge, video, tmp_path, capsys):
    assert upscale(video, tmp_path / 'out.mp4', '--segment', '9', '--overlap', '3', net=enlarge) == 0
    restored = read(tmp_path / 'out.mp4')
    assert [mark_of(frame) for frame in restored] == list(range(40))
    assert {frame.shape for frame in restored} == {(48, 64, 3)}
    assert frame_times(tmp_path / 'out.mp4') == frame_times(video)
    assert audio_packets(tmp_path / 'out.mp4') == audio_packets(video)
    assert set(enlarge.calls) == {9}
    out, err = capsys.readouterr()
    assert '40 frames of 64x48' in out
    assert '40/40' in err  # the progress bar
    assert sorted(os.listdir(tmp_path)) == ['in.mp4', 'out.mp4']


def test_colons_in_names_are_no_addresses(upscale, enlarge, video, tmp_path, monkeypatch):
    video.rename(tmp_path / 'scan:1.mp4')
    monkeypatch.chdir(tmp_path)
    assert upscale('scan:1.mp4', 'restored:1.mkv', net=enlarge) == 0
    made = tmp_path / 'restored:1.mkv'
    assert len(read(made)) == 40 and audio_packets(made)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['restored:1.mkv', 'scan:1.mp4']


def test_a_few_frames_only(upscale, enlarge, video, tmp_path):
    assert upscale(video, tmp_path / 'out.mkv', '--frames', '10:35', '--segment', '8', net=enlarge) == 0
    assert [mark_of(frame) for frame in read(tmp_path / 'out.mkv')] == list(range(10, 35))
    assert float(audio_packets(tmp_path / 'out.mkv')[-1][0]) == pytest.approx(1.0, abs=0.03)
    assert upscale(video, tmp_path / 'tail', '--frames', '37:', net=enlarge) == 0
    assert sorted(os.listdir(tmp_path / 'tail')) == ['00000037.png', '00000038.png', '00000039.png']
    with pytest.raises(UserError, match='has no frame 40'):
        upscale(video, tmp_path / 'none.mp4', '--frames', '40:', net=enlarge)
    assert not (tmp_path / 'none.mp4').exists()


def test_folder_to_folder_is_exact(upscale, enlarge, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (7, 5, 9, 3), dtype=np.uint8)
    enlarge.scale = 3
    assert upscale(make_folder(tmp_path / 'in', frames), tmp_path / 'out', '--segment', '3', net=enlarge) == 0
    assert np.array_equal(np.stack(read(tmp_path / 'out')), frames.repeat(3, 1).repeat(3, 2))


def test_missing_frames_are_told_and_change_nothing(upscale, enlarge, tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 256, (7, 5, 9, 3), dtype=np.uint8)
    enlarge.scale = 3
    source = make_folder(tmp_path / 'in', frames)
    (source / f'{2:08d}.png').unlink()
    assert upscale(source, tmp_path / 'out', net=enlarge) == 0
    assert 'in: 1 gaps in the numbers of its frames, the first before frame 2;' in capsys.readouterr().err
    assert np.array_equal(np.stack(read(tmp_path / 'out')), np.delete(frames, 2, 0).repeat(3, 1).repeat(3, 2))


def test_folder_to_video_takes_its_rate_from_the_user(upscale, enlarge, tmp_path, capsys):
    source = make_folder(tmp_path / 'in', marked_frames(4, 24, 32))
    assert upscale(source, tmp_path / 'a.mp4', net=enlarge) == 0
    assert '25 a second (--fps' in capsys.readouterr().err
    assert frame_times(tmp_path / 'a.mp4')[3] == Fraction(3, 25)
    assert upscale(source, tmp_path / 'b.mp4', '--fps', '30000/1001', net=enlarge) == 0
    assert frame_times(tmp_path / 'b.mp4')[3] == Fraction(3003, 30000)
    assert '--fps' not in capsys.readouterr().err


def test_another_rate_leaves_the_sound_out_and_says_so(upscale, enlarge, video, tmp_path, capsys):
    assert upscale(video, tmp_path / 'slow.mp4', '--fps', '5', net=enlarge) == 0
    assert 'audio would not fit' in capsys.readouterr().err
    assert not open_source(tmp_path / 'slow.mp4').has_audio
    assert upscale(video, tmp_path / 'silent.mp4', '--no-audio', net=enlarge) == 0
    assert not open_source(tmp_path / 'silent.mp4').has_audio


def test_dicom_keeps_its_frame_time(upscale, enlarge, tmp_path):
    frames = marked_frames(6, 25, 31)
    make_dicom(tmp_path / 'cine.dcm', frames)
    assert upscale(tmp_path / 'cine.dcm', tmp_path / 'out.mkv', '--lossless', net=enlarge) == 0
    assert np.array_equal(np.stack(read(tmp_path / 'out.mkv')), frames.repeat(2, 1).repeat(2, 2))
    assert [float(time) for time in frame_times(tmp_path / 'out.mkv')] == [i / 20 for i in range(6)]


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', '.avi'])
def test_dicom_keeps_the_times_of_its_frames(upscale, enlarge, tmp_path, capsys, suffix):
    make_dicom(tmp_path / 'cine.dcm', marked_frames(6, 24, 32), FrameTimeVector=['0', '40', '40', '400', '40', '80'])
    out = tmp_path / f'out{suffix}'
    assert upscale(tmp_path / 'cine.dcm', out, net=enlarge) == 0
    assert [mark_of(frame) for frame in read(out)] == list(range(6))
    if suffix == '.avi':
        assert 'note: out.avi: .avi files cannot store a varying frame rate' in capsys.readouterr().err
    else:
        assert [round(time * 1000) for time in frame_times(out)] == [0, 40, 80, 480, 520, 600]
    assert upscale(tmp_path / 'cine.dcm', out, '--overwrite', '--fps', '10', net=enlarge) == 0
    assert [time * 10 for time in frame_times(out)][-1] == (6 if suffix == '.avi' else 5)  # an AVI's are a frame late


def test_odd_result_keeps_its_size(upscale, enlarge, tmp_path, capsys):
    enlarge.scale = 3
    source = make_folder(tmp_path / 'in', marked_frames(3, 25, 31))
    assert upscale(source, tmp_path / 'out.mp4', net=enlarge) == 0
    assert [frame.shape for frame in read(tmp_path / 'out.mp4')] == [(75, 93, 3)] * 3
    assert 'yuv444p' in capsys.readouterr().err


@pytest.fixture
def damaged(tmp_path):
    """A folder whose frame 12 is cut off."""
    folder = make_folder(tmp_path / 'damaged', marked_frames(20, 24, 32))
    cut = (folder / '00000012.png').read_bytes()[:-30]
    (folder / '00000012.png').write_bytes(cut)
    return folder


@pytest.mark.parametrize('output', ['out.mp4', 'out'])
def test_a_damaged_input_is_named_and_leaves_nothing(upscale, enlarge, damaged, tmp_path, output):
    with pytest.raises(DamagedSourceError, match='00000012.png, frame 12'):
        upscale(damaged, tmp_path / output, '--segment', '4', net=enlarge)
    assert os.listdir(tmp_path) == ['damaged']


@pytest.mark.parametrize('output', ['out.mp4', 'out'])
def test_a_damaged_input_can_be_kept_up_to_there(upscale, enlarge, damaged, tmp_path, output, capsys):
    assert upscale(damaged, tmp_path / output, '--segment', '5', '--keep-partial', net=enlarge) == 1
    assert [mark_of(frame) for frame in read(tmp_path / output)] == list(range(12))
    assert '00000012.png, frame 12' in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ['damaged', output]


def test_a_cut_off_video_can_be_kept_up_to_there(upscale, enlarge, tmp_path):
    make_video(tmp_path / 'in.mkv', marked_frames(40, 24, 32), audio='aac')
    content = (tmp_path / 'in.mkv').read_bytes()
    (tmp_path / 'in.mkv').write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DamagedSourceError, match=r'in\.mkv, frame \d+'):
        upscale(tmp_path / 'in.mkv', tmp_path / 'out.mp4', net=enlarge)
    assert not (tmp_path / 'out.mp4').exists()
    assert upscale(tmp_path / 'in.mkv', tmp_path / 'out.mp4', '--keep-partial', net=enlarge) == 1
    restored = read(tmp_path / 'out.mp4')
    assert 0 < len(restored) < 40
    assert [mark_of(frame) for frame in restored] == list(range(len(restored)))
    assert audio_packets(tmp_path / 'out.mp4')[-1][0] <= len(restored) / 25


def test_a_broken_network_leaves_nothing(upscale, enlarge, video, tmp_path):
    class Broken(type(enlarge)):
        def forward(self, lq):
            return super().forward(lq) * (float('nan') if len(self.calls) > 2 else 1)

    with pytest.raises(RestoreError, match=r'frame \d+: .*not finite'):
        upscale(video, tmp_path / 'out.mp4', '--segment', '6', net=Broken())
    assert os.listdir(tmp_path) == ['in.mp4']


def test_an_existing_output_needs_overwrite(upscale, enlarge, video, tmp_path):
    (tmp_path / 'out.mp4').write_bytes(b'old')
    with pytest.raises(UserError, match='--overwrite'):
        upscale(video, tmp_path / 'out.mp4', net=enlarge)
    assert (tmp_path / 'out.mp4').read_bytes() == b'old'
    assert enlarge.calls == []
    assert upscale(video, tmp_path / 'out.mp4', '--overwrite', net=enlarge) == 0
    assert len(read(tmp_path / 'out.mp4')) == 40
    with pytest.raises(UserError, match='input itself'):
        upscale(video, video, '--overwrite', net=enlarge)


@pytest.mark.parametrize(
    ('output', 'message'),
    [
        ('file/out.mp4', 'file/out.mp4: cannot be written .*file is no folder'),
        ('file/deeper/out', 'file/deeper/out: cannot be written .*file is no folder'),
        (f'{"long" * 62}.mp4', 'cannot be written .*too long'),
        ('/proc/nowhere/out.mp4', '/proc/nowhere/out.mp4: cannot be written'),
        ('/proc/nowhere', '/proc/nowhere: cannot be written'),
        ('out.xyz', "cannot write files of type '.xyz'"),
    ],
)
def test_an_unwritable_output_is_found_before_the_network_runs(upscale, enlarge, video, tmp_path, output, message):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=message):
        upscale(video, tmp_path / output, net=enlarge)
    assert enlarge.calls == []
    assert sorted(os.listdir(tmp_path)) == ['file', 'in.mp4']


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
@pytest.mark.parametrize('output', ['closed/out.mp4', 'closed/new/out'])
def test_a_folder_without_permission_is_found_before_the_network_runs(upscale, enlarge, video, tmp_path, output):
    (tmp_path / 'closed').mkdir(mode=0o500)
    with pytest.raises(UserError, match='cannot be written .*Permission denied'):
        upscale(video, tmp_path / output, net=enlarge)
    assert enlarge.calls == []


def test_a_full_disk_is_found_before_the_network_runs(upscale, enlarge, video, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match='out.mp4: cannot be written .*No space left'):
        upscale(video, tmp_path / 'new' / 'folder' / 'out.mp4', net=enlarge)
    assert enlarge.calls == []
    assert os.listdir(tmp_path) == ['in.mp4']


def test_the_current_folder_can_be_the_output(upscale, enlarge, video, tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    assert upscale(video, '.', '--frames', '0:2', net=enlarge) == 0
    assert sorted(os.listdir(tmp_path / 'here')) == ['00000000.png', '00000001.png']


@pytest.mark.parametrize('output', ['new/folder/out.mp4', 'new/folder/out'])
def test_missing_folders_are_made_for_a_whole_output_only(upscale, enlarge, damaged, tmp_path, output):
    with pytest.raises(DamagedSourceError):
        upscale(damaged, tmp_path / output, '--segment', '4', net=enlarge)
    assert os.listdir(tmp_path) == ['damaged']
    assert upscale(damaged, tmp_path / output, '--frames', '0:9', net=enlarge) == 0
    assert (tmp_path / output).exists() and len(os.listdir(tmp_path / 'new' / 'folder')) == 1


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--segment', '0'], '--segment 0'),
        (['--segment', '4', '--overlap', '4'], '--overlap 4: .*0 … 3'),
        (['--tile', '63'], '--tile 63: has to be at least 64'),
        (['--tile', '-1'], '--tile -1'),
        (['--max-memory', '0'], '--max-memory 0: '),
        (['--max-memory', 'nan'], '--max-memory nan: '),
        (['--max-memory', '4'], 'is for GPUs; on the CPU give --segment and --tile'),
        (['--precision', 'fp16'], 'fp16 is for GPUs'),
        (['--crf', '99'], 'crf'),
    ],
)
def test_settings_that_cannot_be_served(upscale, enlarge, video, tmp_path, words, message):
    with pytest.raises(UserError, match=message):
        upscale(video, tmp_path / 'out.mp4', *words, net=enlarge)
    assert enlarge.calls == []


def test_large_frames_in_tiles(upscale, enlarge, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (3, 90, 130, 3), dtype=np.uint8)
    assert upscale(make_folder(tmp_path / 'in', frames), tmp_path / 'out', '--tile', '64', net=enlarge) == 0
    assert np.array_equal(np.stack(read(tmp_path / 'out')), frames.repeat(2, 1).repeat(2, 2))
    assert len(enlarge.calls) == 8


@pytest.mark.parametrize(
    ('words', 'segment', 'overlap', 'tile'),
    [
        ([], 40, 16, 112),  # all 40 frames there are, in tiles
        (['--frames', '0:10'], 10, 4, 0),  # fewer frames leave room for all of their pixels
        (['--segment', '20'], 20, 8, 192),
        (['--tile', '0'], 15, 6, 0),
        (['--overlap', '39'], 40, 39, 112),
        (['--segment', '5', '--tile', '80'], 5, 2, 80),
    ],
)
def test_memory_chooses_what_was_not_given(
    upscale, enlarge, tmp_path, monkeypatch, capsys, words, segment, overlap, tile
):
    source = make_folder(tmp_path / 'in', np.zeros((40, 160, 256, 3), np.uint8))
    taken = {}

    def restore(net, frames, **settings):
        taken.update(settings)
        return (np.repeat(np.repeat(frame, 2, 0), 2, 1) for frame in frames)

    def measured(net, device, dtype, limit, frames):
        assert limit == 0.9 * 2**30 and frames >= segment
        return MemoryModel(0, 0, 0.9 * limit / (15 * 160 * 256))

    monkeypatch.setattr(upscale_command, 'restore_clip', restore)
    monkeypatch.setattr(upscale_command, 'measured_on_gpu', measured)
    monkeypatch.setattr(upscale_command, '_device', lambda args: 'cuda')
    monkeypatch.setattr(enlarge, 'to', lambda device: enlarge)
    assert upscale(source, tmp_path / 'out', '--max-memory', '0.9', *words, net=enlarge) == 0
    assert (taken['segment'], taken['overlap'], taken['tile']) == (segment, overlap, tile)
    assert taken['smaller_tiles'] == ('--tile' not in words)
    part = f'tiles of {tile} pixels' if tile else 'whole frames'
    assert f'--max-memory 0.9: {segment} frames at a time, in {part}' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('limit', 'words', 'plan', 'offloaded'),
    [
        (2, ['--segment', 40, '--tile', 0], '40 frames at a time, in whole frames', False),
        (0.9, ['--segment', 40, '--tile', 0], '40 frames at a time, in whole frames', True),
        (0.9, [], '40 frames at a time, in whole frames', True),
        (0.9, ['--tile', 0], '40 frames at a time, in whole frames', True),
        (0.9, ['--tile', 128], '40 frames at a time, in tiles of 128 pixels', False),
        (0.4, [], '40 frames at a time, in tiles of 176 pixels', True),
    ],
)
def test_features_are_offloaded_where_that_spares_tiles(
    upscale, enlarge, tmp_path, monkeypatch, capsys, limit, words, plan, offloaded
):
    """Whole frames, all 40 of them, that need 1 GiB, and half of it with their features on the CPU."""
    source = make_folder(tmp_path / 'in', np.zeros((40, 160, 256, 3), np.uint8))
    enlarge.cpu_cache_length = 100

    def measured(net, device, dtype, limit, frames):
        return MemoryModel(0, 0, (2**30 if net.cpu_cache_length else 2**29) / (40 * 160 * 256))

    monkeypatch.setattr(upscale_command, 'measured_on_gpu', measured)
    monkeypatch.setattr(upscale_command, '_device', lambda args: 'cpu')
    assert upscale(source, tmp_path / 'out', '--max-memory', limit, *words, net=enlarge) == 0
    assert enlarge.cpu_cache_length == (0 if offloaded else 100)
    assert f'{plan}{", with --offload" * offloaded}\n' in capsys.readouterr().err


def test_what_does_not_fit_even_then(upscale, enlarge, tmp_path, monkeypatch):
    source = make_folder(tmp_path / 'in', np.zeros((40, 160, 256, 3), np.uint8))
    enlarge.cpu_cache_length = 100
    monkeypatch.setattr(upscale_command, 'measured_on_gpu', lambda *args: MemoryModel(0, 0, 1e6))
    monkeypatch.setattr(upscale_command, '_device', lambda args: 'cpu')
    with pytest.raises(UserError, match='--max-memory 1: for 40 frames'):
        upscale(source, tmp_path / 'out', '--max-memory', 1, '--segment', 40, net=enlarge)
    del enlarge.cpu_cache_length
    with pytest.raises(UserError, match='--offload: Enlarge has no features that wait'):
        upscale(source, tmp_path / 'out', '--offload', net=enlarge)
    assert enlarge.calls == []


@pytest.mark.parametrize('words', [['--frames', '5'], ['--frames', '5:5'], ['--fps', '0'], ['--fps', 'fast']])
def test_words_that_cannot_be_read(upscale, enlarge, video, tmp_path, words, capsys):
    with pytest.raises(SystemExit):
        upscale(video, tmp_path / 'out.mp4', *words, net=enlarge)
    assert words[0] in capsys.readouterr().err


SMALL = {'mid_channels': 32, 'num_blocks': 1, 'n_convfe': 1, 'n_convrec': 2, 'window_size': 8, 'rec_ks': 3, 'scale': 2}


def save_small_network(path):
    net = MedVSR(**SMALL)
    torch.save({'params': net.state_dict()}, path)
    return net.eval()


def test_a_real_checkpoint_with_its_option_file(upscale, tmp_path):
    net = save_small_network(tmp_path / 'net.pth')
    settings = '\n'.join(f'  {key}: {value}' for key, value in SMALL.items())
    (tmp_path / 'test.yml').write_text(f'scale: 2\nnetwork_g:\n  type: MedVSR\n{settings}\n')
    frames = marked_frames(3, 18, 22)
    source = make_folder(tmp_path / 'in', frames)
    with torch.inference_mode():
        lq = torch.from_numpy(frames).permute(0, 3, 1, 2)[None] / 255
        expected = (net(lq)[0].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    words = ('--model', tmp_path / 'net.pth')
    for output, more in (('a', []), ('b', ['--offload'])):
        assert upscale(source, tmp_path / output, *words, '--opt', tmp_path / 'test.yml', *more) == 0
        assert np.array_equal(np.stack(read(tmp_path / output)), expected)


def test_an_option_file_that_builds_no_network_is_named(upscale, tmp_path):
    save_small_network(tmp_path / 'net.pth')
    source = make_folder(tmp_path / 'in', marked_frames(1, 8, 8))
    for content, message in (
        ('name: x\n', 'no section network_g'),
        ('network_g: {type: MedVSX}\n', 'test.yml: .*MedVSX'),
        ('network_g: {type: MedVSR, mid_channels: 33}\n', 'test.yml: .*mid_channels=33'),
    ):
        (tmp_path / 'test.yml').write_text(content)
        with pytest.raises(UserError, match=message):
            upscale(source, tmp_path / 'a', '--model', tmp_path / 'net.pth', '--opt', tmp_path / 'test.yml')


ENDINGS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, -2), (signal.SIGKILL, -9)]


@pytest.mark.parametrize(('ending', 'status'), ENDINGS)
def test_a_stopped_run_leaves_nothing_at_the_final_name(video, tmp_path, ending, status):
    script = """
        import argparse, os, signal, sys
        import torch
        from basicsr_ssm.inference import upscale_command

        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background are started to ignore it

        class Stopping(torch.nn.Module):
            calls = 0
            def forward(self, lq):
                self.calls += 1
                if self.calls == 4:
                    os.kill(os.getpid(), int(sys.argv[3]))
                return lq
        upscale_command.build_from_checkpoint = lambda path, options: (Stopping(), 'stand-in')
        parser = argparse.ArgumentParser()
        upscale_command.add_arguments(parser)
        words = [sys.argv[1], sys.argv[2], '--model', 'x', '--segment', '5', '--device', 'cpu']
        upscale_command.run(parser.parse_args(words))
    """
    words = [sys.executable, '-c', textwrap.dedent(script), str(video), str(tmp_path / 'out.mp4'), str(int(ending))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    left = {'in.mp4'} if ending != signal.SIGKILL else {'in.mp4', *(p.name for p in tmp_path.glob('.out.mp4.*.part'))}
    assert set(os.listdir(tmp_path)) == left


def test_a_run_that_outlives_its_terminal(monkeypatch):
    """nohup has it ignore SIGHUP, and so it stays."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with upscale_command._termination_as_exit():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_a_killed_run_has_left_is_named(upscale, enlarge, video, tmp_path, capsys):
    left = tmp_path / '.out.mp4.4711.0123abcd.part'
    left.write_text('half')
    (tmp_path / '.out.mp4.copy.4711.0123abcd.part').write_text('of another output')
    upscale(video, tmp_path / 'out.mp4', '--frames', '0:2', net=enlarge)
    said = [line for line in capsys.readouterr().err.splitlines() if '.part' in line]
    assert said == [f'note: {left} is of a run that was killed, or is still at work there']
    assert left.exists()


def test_fps_is_not_for_folders(upscale, enlarge, video, tmp_path):
    with pytest.raises(UserError, match='--fps 30: .* is a folder of PNG frames'):
        upscale(video, tmp_path / 'out', '--fps', '30', net=enlarge)


def test_fewer_frames_than_asked_for_are_named(upscale, enlarge, video, tmp_path, capsys):
    upscale(video, tmp_path / 'out.mp4', '--frames', '30:100', net=enlarge)
    assert f'note: {video} ends before frame 100: it has 40' in capsys.readouterr().err
    upscale(video, tmp_path / 'two.mp4', '--frames', '30:40', net=enlarge)
    assert 'ends before' not in capsys.readouterr().err
