"""Every kind of input that is read, and every kind of damage that must be noticed."""

import importlib.util
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from basicsr_ssm.clips.sources import DamagedSourceError, open_source
from basicsr_ssm.errors import UserError


def read(path):
    source = open_source(path)
    frames = list(source.frames())
    for frame in frames:
        assert frame.dtype == np.uint8 and frame.flags.c_contiguous and frame.shape == (*source.size, 3)
    return source, frames


def close(frames, expected, level):
    assert len(frames) == len(expected)
    return np.abs(np.stack(frames).astype(float) - np.stack(expected)).mean() < level


def test_video(tmp_path, moving_frames, write_video):
    frames = moving_frames()
    source, got = read(write_video(tmp_path / 'a b.mp4', frames))
    assert (source.name, source.fps, source.size, source.frame_count) == ('a_b', 25, (48, 64), 12)
    assert not source.has_audio
    assert close(got, frames, 1)
    assert len(list(source.frames())) == 12  # again from the start


@pytest.mark.parametrize(
    'codec, pix_fmt, suffix',
    [
        ('libx264', 'yuv420p', '.mkv'),
        ('libx264', 'yuv420p10le', '.mp4'),
        ('libx264', 'gray', '.mp4'),
        ('libx264', 'yuvj420p', '.mp4'),
        ('mpeg4', 'yuv420p', '.avi'),
        ('mpeg2video', 'yuv420p', '.mpg'),
        ('ffv1', 'yuv420p16le', '.mkv'),
    ],
)
def test_pixel_formats_and_containers(tmp_path, moving_frames, write_video, codec, pix_fmt, suffix):
    frames = moving_frames()
    options = {'qp': '0'} if codec == 'libx264' else {'qscale': '1'}
    _, got = read(write_video(tmp_path / f'v{suffix}', frames, codec, pix_fmt, options))
    if pix_fmt == 'gray':
        frames = [cv2.cvtColor(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) for f in frames]
        assert all((f[..., :1] == f).all() for f in got)
    assert close(got, frames, 9)
    if pix_fmt.startswith('yuv4'):  # no drift in brightness, which swscale's shortcuts have
        assert abs(np.mean(got) - np.mean(frames)) < 0.3


def test_a_colon_in_a_name_is_no_address(tmp_path, moving_frames, write_video, monkeypatch):
    write_video(tmp_path / 'scan:1.mp4', moving_frames(3))
    monkeypatch.chdir(tmp_path)
    source, got = read('scan:1.mp4')
    assert len(got) == 3 and str(source.path) == 'scan:1.mp4'
    with pytest.raises(UserError, match=r'^http:x\.mp4: no such file'):
        open_source('http:x.mp4')


def test_odd_size(tmp_path, moving_frames, write_video):
    frames = moving_frames(3, 35, 47)
    assert close(read(write_video(tmp_path / 'odd.mkv', frames, 'ffv1', 'yuv444p', {}))[1], frames, 1)


def test_rotated_video_is_upright(tmp_path, moving_frames, write_video):
    pytest.importorskip('av', minversion='17')  # older ones cannot write the rotation
    frames = moving_frames(3)
    source, got = read(write_video(tmp_path / 'phone.mp4', frames, rotation=90))
    assert source.size == (64, 48)
    assert close(got, [np.rot90(f) for f in frames], 1)


def test_variable_frame_rate_keeps_every_frame_once(tmp_path, moving_frames, write_video):
    frames = moving_frames(8)
    path = write_video(tmp_path / 'vfr.mp4', frames, times=[0, 1, 2, 9, 10, 30, 31, 55])
    assert close(read(path)[1], frames, 1)


def expect_damage(path, words, frame=None):
    with pytest.raises(DamagedSourceError, match=words) as caught:
        list(open_source(path).frames())
    assert path.name in str(caught.value)
    if frame is not None:
        assert caught.value.frame_index == frame


# Of a Matroska file's last half second nothing tells whether it was ever there.
CUTS = [(kind, part) for kind in ('.mp4', 'fast.mp4', '.avi') for part in (0.3, 0.7, 0.9)] + [
    ('.mkv', 0.3),
    ('.mkv', 0.7),
]


@pytest.mark.parametrize('kind, part', CUTS)
def test_truncated_video(tmp_path, moving_frames, write_video, kind, part):
    codec, pix_fmt = ('mpeg4', 'yuv420p') if kind == '.avi' else ('libx264', 'yuv444p')
    movflags = 'faststart' if kind == 'fast.mp4' else None
    path = write_video(tmp_path / f'cut{kind}', moving_frames(40), codec, pix_fmt, movflags=movflags)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    expect_damage(path, 'cut off|short of|errors|decoded|no decodable')


@pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
def test_matroska_whose_video_does_not_start_at_zero(tmp_path, moving_frames, write_video, suffix):
    codec, pix_fmt, options = ('ffv1', 'yuv444p', {}) if suffix == '.mkv' else ('libvpx', 'yuv420p', {'crf': '4'})
    times = [50 + i for i in range(40)]  # two seconds late
    path = write_video(tmp_path / f'late{suffix}', moving_frames(40), codec, pix_fmt, options, times=times)
    assert len(read(path)[1]) == 40
    content = path.read_bytes()
    for part in (0.3, 0.6):
        path.write_bytes(content[: int(len(content) * part)])
        expect_damage(path, 'cut off|short of')


def test_undecodable_packet(tmp_path, moving_frames, write_video):
    path = write_video(tmp_path / 'hit.avi', moving_frames(30, 96, 160), 'mpeg4', 'yuv420p')
    content = bytearray(path.read_bytes())
    late = len(content) * 3 // 4  # an AVI starts with a long header
    content[late : late + 300] = np.random.default_rng(0).bytes(300)
    path.write_bytes(content)
    expect_damage(path, 'errors|decoded')


def test_not_a_video(tmp_path):
    (tmp_path / 'notes.txt').write_text('nothing to see\n' * 50)
    cv2.imwrite(str(tmp_path / 'single.png'), np.zeros((8, 8, 3), np.uint8))
    for name in ('notes.txt', 'single.png'):  # FFmpeg would show both
        with pytest.raises(UserError, match=f'{name}: is not a video'):
            open_source(tmp_path / name)
    (tmp_path / 'empty.mp4').touch()
    expect_damage(tmp_path / 'empty.mp4', 'not a video')
    with pytest.raises(UserError, match='no such file'):
        open_source(tmp_path / 'absent.mp4')


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.tiff', '.jpg', '.jpeg'])
def test_folder(tmp_path, moving_frames, write_folder, suffix):
    frames = moving_frames(11)  # frame10 comes after frame9, not after frame1
    source, got = read(write_folder(tmp_path / 'a.folder', frames, suffix))
    assert (source.name, source.fps, source.frame_count) == ('a_folder', None, 11)
    assert close(got, frames, 3 if suffix.startswith('.j') else 1e-9)


def test_folder_of_16_bit_gray_and_alpha(tmp_path, moving_frames, write_folder):
    frames = moving_frames(2)
    deep = [f.astype(np.uint16) * 257 for f in frames]
    assert close(read(write_folder(tmp_path / 'deep', deep))[1], frames, 1e-9)
    gray = [f[..., 0] for f in frames]
    assert close(read(write_folder(tmp_path / 'gray', gray))[1], [np.stack([g] * 3, -1) for g in gray], 1e-9)
    (tmp_path / 'alpha').mkdir()
    cv2.imwrite(str(tmp_path / 'alpha' / '1.png'), cv2.cvtColor(frames[0], cv2.COLOR_RGB2BGRA))
    assert close(read(tmp_path / 'alpha')[1], frames[:1], 1e-9)


@pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.jpg'])
@pytest.mark.parametrize('part', [0, 0.5, 0.9])
def test_truncated_image_is_named(tmp_path, moving_frames, write_folder, suffix, part):
    folder = write_folder(tmp_path / 'f', moving_frames(4), suffix)
    path = folder / f'frame3{suffix}'
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    expect_damage_in(folder, path, 2)


def expect_damage_in(folder, path, frame):
    with pytest.raises(DamagedSourceError, match=path.name) as caught:
        list(open_source(folder).frames())
    assert caught.value.frame_index == frame


def test_flipped_bit_in_png(tmp_path, moving_frames, write_folder):
    folder = write_folder(tmp_path / 'f', moving_frames(4))
    content = bytearray((folder / 'frame2.png').read_bytes())
    content[len(content) // 2] ^= 1
    (folder / 'frame2.png').write_bytes(content)
    expect_damage_in(folder, folder / 'frame2.png', 1)


def test_the_size_is_that_of_the_first_image_that_can_be_read(tmp_path, moving_frames, write_folder):
    folder = write_folder(tmp_path / 'f', moving_frames(4))
    for number in (1, 2):
        (folder / f'frame{number}.png').write_bytes(b'')
    source = open_source(folder)
    assert source.size == (48, 64) and source.frame_count == 4
    expect_damage_in(folder, folder / 'frame1.png', 0)
    kinds = [isinstance(frame, np.ndarray) for frame in source.frames_around_damage()]
    assert kinds == [False, False, True, True]
    for number in (3, 4):
        (folder / f'frame{number}.png').write_bytes(b'x')
    with pytest.raises(DamagedSourceError, match=r'frame1\.png, frame 0'):
        open_source(folder)


def test_a_frame_that_is_a_link_to_nowhere_is_named(tmp_path, moving_frames, write_folder):
    folder = write_folder(tmp_path / 'f', moving_frames(4))
    (folder / 'frame3.png').unlink()
    (folder / 'frame3.png').symlink_to(tmp_path / 'gone.png')
    with pytest.raises(DamagedSourceError, match=r'frame3\.png, frame 2: is a link that leads nowhere'):
        list(open_source(folder).frames())
    with pytest.raises(UserError, match=r'frame3\.png: is a link that leads nowhere'):
        open_source(folder / 'frame3.png')


def test_size_change_in_folder(tmp_path, moving_frames, write_folder):
    folder = write_folder(tmp_path / 'f', [*moving_frames(3), *moving_frames(1, 40, 64)])
    with pytest.raises(DamagedSourceError, match=r'frame4\.png, frame 3: .*64x48 to 64x40'):
        list(open_source(folder).frames())


def test_float_images_are_refused(tmp_path):
    cv2.imwrite(str(tmp_path / '1.tiff'), np.zeros((8, 8), np.float32))
    with pytest.raises(DamagedSourceError, match='float32'):
        open_source(tmp_path)


@pytest.mark.parametrize('suffix', ['.tif', '.tiff'])
def test_pages_beyond_the_first_are_not_lost(tmp_path, moving_frames, suffix):
    cv2.imwritemulti(str(tmp_path / f'stack{suffix}'), moving_frames(3))
    with pytest.raises(DamagedSourceError, match=rf'stack\{suffix}, frame 0: holds 3 pages, where one image is'):
        open_source(tmp_path)


def test_empty_folder(tmp_path):
    with pytest.raises(UserError, match='holds no images'):
        open_source(tmp_path)


def test_a_folder_with_videos_is_no_clip(tmp_path, moving_frames, write_video, write_dicom, write_folder):
    folder = write_folder(tmp_path / 'exam', moving_frames(1))
    write_video(folder / 'cine.mp4', moving_frames(2))
    with pytest.raises(UserError, match=r'exam: holds both images and videos \(frame1\.png, cine\.mp4\): which'):
        open_source(folder)
    (folder / 'frame1.png').unlink()
    with pytest.raises(UserError, match=r'exam: the folder holds no images, but cine\.mp4: give one of its files'):
        open_source(folder)
    write_dicom(folder / 'IM0001', np.stack(moving_frames(2)), 'RGB')
    (folder / 'notes.txt').touch()
    with pytest.raises(UserError, match=r'holds no images, but IM0001, cine\.mp4: give'):
        open_source(folder)
    (folder / 'cine.mp4').rename(folder / '.cine.mp4')  # a hidden one is not looked at
    (folder / 'IM0001').unlink()
    with pytest.raises(UserError, match=r'holds no images \('):
        open_source(folder)


def test_dicom_rgb_and_ybr(tmp_path, moving_frames, write_dicom):
    frames = np.stack(moving_frames(3))
    source, got = read(write_dicom(tmp_path / 'rgb.dcm', frames, 'RGB', FrameTime='40'))
    assert (source.fps, source.size, source.frame_count) == (25, (48, 64), 3)
    assert close(got, frames, 1e-9)
    ybr = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] for f in frames])
    assert close(read(write_dicom(tmp_path / 'ybr', ybr, 'YBR_FULL'))[1], frames, 1.5)


def times_of(path):
    """Milliseconds at which the five frames are shown, as far as the file tells, and its rate."""
    source = open_source(path)
    clock = source.clock
    return None if clock is None else [round(float(clock.time(i) * 1000), 3) for i in range(5)], source.fps


def test_dicom_keeps_the_times_of_its_frames(tmp_path, write_dicom):
    def written(**attributes):
        return times_of(write_dicom(tmp_path / 'cine.dcm', np.zeros((5, 8, 8), np.uint8), 'MONOCHROME2', **attributes))

    mean = Fraction(5121, 820)
    assert written(FrameTimeVector=['0', '40', '60', '40.5', '500']) == ([0, 40, 100, 140.5, 640.5], mean)
    assert written(FrameTimeVector=['10', '40', '60', '40.5', '500'])[0] == [10, 50, 110, 150.5, 650.5]
    assert written(FrameTimeVector=['0', '40', '40', '40', '40']) == ([0, 40, 80, 120, 160], 25)
    assert written(FrameTimeVector=['0', '33', '34', '33', '33'])[0] == [0, 33.25, 66.5, 99.75, 133]  # rounded ones
    # what tells no times
    assert written(FrameTimeVector=['0', '40', '60', '40', '500'], FrameTime='50') == (None, 20)
    assert written(FrameTimeVector=['0', '40', '60', '40']) == (None, pytest.approx(3000 / 140, rel=1e-4))
    for vector in (['0', '40', '60', '-40', '500'], ['-1', '40', '60', '40', '500'], ['0', '0', '60', '40', '500']):
        assert written(FrameTimeVector=vector)[0] is None
    for vector in ([], None, '40', ['0'] * 5):
        assert written(FrameTimeVector=vector, CineRate='30') == (None, 30)


@pytest.mark.parametrize('wrong', [b'six', b'nan', b'inf'])
def test_dicom_whose_times_are_no_numbers(tmp_path, write_dicom, wrong):
    attributes = {'FrameTimeVector': ['0', '40', '666', '40', '40'], 'CineRate': '30'}
    path = write_dicom(tmp_path / 'cine.dcm', np.zeros((5, 8, 8), np.uint8), 'MONOCHROME2', **attributes)
    path.write_bytes(path.read_bytes().replace(b'666', wrong))
    assert times_of(path) == (None, 30)


def test_dicom_monochrome(tmp_path, write_dicom):
    ramp = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    as_is = np.stack([ramp[0]] * 3, -1)
    source, got = read(write_dicom(tmp_path / 'one.dcm', ramp, 'MONOCHROME2'))
    assert source.fps is None and close(got, [as_is], 1e-9)
    assert close(read(write_dicom(tmp_path / 'inverted.dcm', ramp, 'MONOCHROME1'))[1], [255 - as_is], 1e-9)


def test_dicom_of_more_than_8_bits(tmp_path, write_dicom):
    ramp = np.stack([np.linspace(0, 2000, 64), np.linspace(1000, 4000, 64)]).reshape(2, 8, 8).astype(np.uint16)
    # without a window: one range for all frames
    got = read(write_dicom(tmp_path / 'deep.dcm', ramp, 'MONOCHROME2', bits=12))[1]
    assert close([f[..., 0] for f in got], np.rint(ramp / 4000 * 255), 0.01)
    # PS3.3 C.11.2.1.2.1, after the rescale to ramp - 1000
    window = {'WindowCenter': '0.5', 'WindowWidth': '1001', 'RescaleSlope': '1', 'RescaleIntercept': '-1000'}
    got = read(write_dicom(tmp_path / 'window.dcm', ramp, 'MONOCHROME2', bits=12, **window))[1]
    assert close([f[..., 0] for f in got], np.rint(np.clip((ramp - 1000.0 + 500) / 1000, 0, 1) * 255), 0.01)
    signed = (ramp.astype(np.int16) - 2000)[:1]
    got = read(write_dicom(tmp_path / 'signed.dcm', signed, 'MONOCHROME2'))[1]
    assert got[0].min() == 0 and got[0].max() == 255


@pytest.mark.parametrize('empty', [None, [], ''])
def test_dicom_with_an_empty_window_or_rescale(tmp_path, write_dicom, empty):
    """As with neither: an attribute that is there and empty says nothing."""
    ramp = np.linspace(0, 4000, 128).reshape(2, 8, 8).astype(np.uint16)
    plain = read(write_dicom(tmp_path / 'plain.dcm', ramp, 'MONOCHROME2', bits=12))[1]
    window, rescale = ('WindowCenter', 'WindowWidth'), ('RescaleSlope', 'RescaleIntercept')
    for names in (window, rescale, window + rescale):
        got = read(write_dicom(tmp_path / 'empty.dcm', ramp, 'MONOCHROME2', bits=12, **dict.fromkeys(names, empty)))[1]
        assert np.array_equal(got, plain)
    # one of two that is empty leaves the other alone
    path = write_dicom(tmp_path / 'half.dcm', ramp, 'MONOCHROME2', bits=12, WindowCenter='9', WindowWidth=empty)
    assert np.array_equal(read(path)[1], plain)


def test_dicom_that_cannot_be_converted_is_damaged(tmp_path, write_dicom):
    path = write_dicom(tmp_path / 'odd.dcm', np.zeros((2, 8, 8), np.uint8), 'PALETTE COLOR')  # and no palette
    expect_damage(path, r'odd\.dcm, frame 0: cannot be converted \(', frame=0)


def test_dicom_with_video_inside(tmp_path, moving_frames, write_video, write_dicom):
    pydicom = pytest.importorskip('pydicom')
    frames = moving_frames(5)
    video = write_video(tmp_path / 'in.mp4', frames).read_bytes()
    path = write_dicom(tmp_path / 'scope.dcm', np.zeros((5, 48, 64, 3), np.uint8), 'RGB')
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.MPEG4HP41
    data.PixelData = pydicom.encaps.encapsulate([video], has_bot=False)
    data['PixelData'].is_undefined_length = True
    data.save_as(path)
    source, got = read(path)
    assert source.size == (48, 64) and close(got, frames, 1)


@pytest.fixture
def pydicoms_own():
    """pydicoms_own(name): the path of a test file that pydicom's wheel brings along."""
    data = pytest.importorskip('pydicom.data')

    def find(name):
        path = data.get_testdata_file(name, download=False)
        return path or pytest.skip(f'this pydicom has no {name}')

    return find


def test_dicom_of_jpeg_2000_with_another_sign(pydicoms_own):
    """pydicom corrects the sign in memory that it cannot write to, when it goes from frame to frame."""
    pydicom = pytest.importorskip('pydicom')
    source, got = read(pydicoms_own('J2K_pixelrep_mismatch.dcm'))
    data = pydicom.dcmread(source.path)
    low, high = -10, 89  # the file's first window: centre 40, width 100
    values = data.pixel_array.astype(float)
    assert values.min() < 0
    assert close([frame[..., 0] for frame in got], [(values.clip(low, high) - low) * 255 / (high - low)], 0.5)


def test_deflated_dicom(pydicoms_own):
    pydicom = pytest.importorskip('pydicom')
    source, got = read(pydicoms_own('image_dfl.dcm'))
    assert np.array_equal(got[0][..., 0], pydicom.dcmread(source.path).pixel_array)


@pytest.mark.skipif(importlib.util.find_spec('libjpeg') is not None, reason='pylibjpeg-libjpeg decodes these')
@pytest.mark.parametrize('name', ['JPEG-lossy.dcm', 'JPGExtended.dcm', 'MR_small_jpeg_ls_lossless.dcm'])
def test_a_missing_decoder_is_not_damage(pydicoms_own, name):
    with pytest.raises(UserError, match=rf'{name}: a decoder .* is missing: pip install pylibjpeg \S+$') as caught:
        read(pydicoms_own(name))
    assert not isinstance(caught.value, DamagedSourceError) and '\n' not in str(caught.value)


def test_damaged_dicom(tmp_path, moving_frames, write_dicom):
    path = write_dicom(tmp_path / 'cut.dcm', np.stack(moving_frames(3)), 'RGB')
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    expect_damage(path, 'cut.dcm')
    path.write_bytes(content[:200])
    with pytest.raises(UserError, match='cut.dcm'):
        open_source(path)


def test_missing_packages_are_named(tmp_path, monkeypatch, write_video, write_dicom, moving_frames):
    video = write_video(tmp_path / 'v.mp4', moving_frames(2))
    dicom = write_dicom(tmp_path / 'd.dcm', np.stack(moving_frames(2)), 'RGB')
    for path, module in ((video, 'av'), (dicom, 'pydicom')):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UserError, match=r'pip install "?basicsr_ssm\[video\]'):
            open_source(path)


def test_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    def closed(folder):
        raise PermissionError(13, 'Permission denied', str(folder))

    monkeypatch.setattr('basicsr_ssm.clips.folder_source.image_files', closed)
    (tmp_path / 'closed').mkdir()
    with pytest.raises(UserError, match=r'closed: cannot be read \(Permission denied\)'):
        open_source(tmp_path / 'closed')
