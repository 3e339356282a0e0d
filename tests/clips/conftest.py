"""Small real files of every kind that a source can be."""

from fractions import Fraction

import cv2
import numpy as np
import pytest


@pytest.fixture
def moving_frames():
    """moving_frames(count, h, w) → uint8 RGB frames: a smooth coloured pattern that moves."""

    def make(count=12, h=48, w=64, seed=0):
        coarse = np.random.default_rng(seed).integers(0, 256, (h // 8 + 4, (w + 2 * count) // 8 + 4, 3), dtype=np.uint8)
        canvas = cv2.resize(coarse, (coarse.shape[1] * 8, coarse.shape[0] * 8), interpolation=cv2.INTER_CUBIC)
        return [np.ascontiguousarray(canvas[:h, 2 * i : 2 * i + w]) for i in range(count)]

    return make


@pytest.fixture
def write_video():
    """write_video(path, frames, …) encodes with FFmpeg; lossless H.264 by default."""
    av = pytest.importorskip('av')

    def write(path, frames, codec='libx264', pix_fmt='yuv444p', options=None, movflags=None, rotation=0, times=None):
        with av.open(str(path), 'w', options={'movflags': movflags} if movflags else {}) as container:
            stream = container.add_stream(codec, rate=25)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = pix_fmt
            stream.options = {'qp': '0'} if options is None and codec == 'libx264' else options or {}
            if rotation:
                stream.set_display_rotation(rotation)
            for i, frame in enumerate(frames):
                picture = av.VideoFrame.from_ndarray(frame, format='rgb24')
                if times:
                    picture.pts, picture.time_base = times[i], Fraction(1, 25)
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        return path

    return write


@pytest.fixture
def write_dicom():
    """write_dicom(path, pixels, photometric, **attributes): pixels (n, h, w) or (n, h, w, 3)."""
    pydicom = pytest.importorskip('pydicom')

    def write(path, pixels, photometric, bits=None, **attributes):
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.3.1'
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        data = pydicom.Dataset()
        data.file_meta = meta
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.NumberOfFrames, data.Rows, data.Columns = pixels.shape[:3]
        data.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
        if pixels.ndim == 4:
            data.PlanarConfiguration = 0
        data.PhotometricInterpretation = photometric
        data.BitsAllocated = 8 * pixels.itemsize
        data.BitsStored = bits or data.BitsAllocated
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(pixels.dtype.kind == 'i')
        data.PixelData = pixels.tobytes() + b'\0' * (pixels.nbytes % 2)
        for name, value in attributes.items():
            setattr(data, name, value)
        data.save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture
def write_folder():
    """write_folder(path, frames, suffix) writes frame1, frame2, … without leading zeros."""

    def write(path, frames, suffix='.png'):
        path.mkdir(parents=True)
        for i, frame in enumerate(frames, 1):
            cv2.imwrite(str(path / f'frame{i}{suffix}'), frame[..., ::-1] if frame.ndim == 3 else frame)
        return path

    return write
