"""A sound data set passes every check, and each kind of damage fails the one that is there for it."""

import json
import os
import shutil
from html.parser import HTMLParser

import cv2
import lmdb
import numpy as np
import pytest

from basicsr_ssm import cli
from basicsr_ssm.clips.cutting import Cutting
from basicsr_ssm.clips.footage import Footage
from basicsr_ssm.clips.lmdb_writer import encode_png
from basicsr_ssm.clips.prepare import prepare
from basicsr_ssm.clips.prepare_published import prepare_published
from basicsr_ssm.clips.recipe import Recipe
from basicsr_ssm.clips.reds import RedsNumbers, find_reds
from basicsr_ssm.clips.splits import SplitRule
from basicsr_ssm.clips.verify.contact_sheet import FRAMES, WIDTH, as_jpeg, contact_sheet
from basicsr_ssm.clips.verify.examine import spread
from basicsr_ssm.clips.verify.findings import CHECKS
from basicsr_ssm.clips.verify.perceptual_hash import (
    NEAR_BITS,
    _bits,
    look_alike,
    near_pairs,
    perceptual_hash,
    thumbnail,
)
from basicsr_ssm.clips.verify.report import as_html, as_text
from basicsr_ssm.clips.verify.stored import open_stored
from basicsr_ssm.clips.verify.verify import verify
from basicsr_ssm.clips.vid4 import find_vid4
from basicsr_ssm.clips.vimeo90k import VimeoNumbers, find_vimeo90k
from basicsr_ssm.errors import UserError
from basicsr_ssm.files import sha256_of

SPLITS = {'val': ('b',), 'test': ('c',)}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Flushing all disks of a busy machine takes seconds."""
    monkeypatch.setattr(os, 'sync', lambda: None)


@pytest.fixture
def make(tmp_path, moving_frames, write_folder):
    """make(form, **frames) → a data set of sources a (training), b (validation) and c (test), two clips each."""

    def build(form='png', scales=(2, 4), kinds=('bicubic',), **frames):
        given = {name: moving_frames(8, 32, 48, seed) for seed, name in enumerate('abc')} | frames
        sources = {name: write_folder(tmp_path / 'sources' / name, its) for name, its in given.items()}
        cutting = Cutting(4, 4, None, scales, None, kinds)
        recipe = Recipe(cutting, SplitRule(lists=SPLITS), form, footage=Footage(cuts='ignore'))
        prepare(sources, tmp_path / 'data', recipe, workers=2, progress=False)
        return tmp_path / 'data'

    return build


def check(root, **options):
    stored = open_stored(root)
    clips, findings = verify(stored, workers=2, progress=False, **options)
    text, page = as_text(stored, clips, findings), as_html(stored, clips, findings)
    stored.close()
    assert all(title in text and title in page for title in CHECKS.values())
    return findings


def failed(findings):
    """The failed checks; what is worth a look is not among them."""
    return {name for name in CHECKS if findings.verdict(name) == 'failed'}


def said(findings, name):
    return ' | '.join(f'{finding.where}: {finding.what}' for finding in findings.of(name))


def rewrite(root, path, change):
    """Let `change` edit the frame at root/path, a PNG."""
    image = cv2.imread(str(root / path))
    cv2.imwrite(str(root / path), change(image))


# ------------------------------------------------------------ sound data sets


@pytest.mark.parametrize('form', ['png', 'lmdb'])
def test_a_sound_data_set_passes(form, make):
    findings = check(make(form, (4,), ('bicubic', 'bd')))
    assert not findings.found and not findings.not_done
    assert all(findings.verdict(name) == 'passed' for name in CHECKS)
    assert findings.done['decoding'] == f'{6 * 4 * 3} frames'
    assert findings.done['pairs'] == f'{6 * 3 * 2} LQ frames made again'
    assert findings.done['checksums'] == f'{6 * 3} checksums'


def test_published_data_sets_pass(tmp_path, moving_frames):
    numbers = RedsNumbers(train=2, val=1, frames=3, size=(32, 48))
    for part, count in (('train', 2), ('val', 1)):
        for clip in range(count):
            for frame, image in enumerate(moving_frames(3, 32, 48, seed=clip + 10 * count)):
                path = tmp_path / 'REDS' / f'{part}_sharp' / f'{clip:03d}' / f'{frame:08d}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), image)
    found = find_reds(tmp_path / 'REDS', expected=numbers)
    prepare_published(found, tmp_path / 'out', workers=2, progress=False)
    findings = check(tmp_path / 'out')
    assert not findings.found and findings.done['sources'] == '3 clips by their names'


def test_clips_of_nested_names_and_sets_without_splits_pass(tmp_path, moving_frames):
    def write(folder, names, seed):
        folder.mkdir(parents=True)
        for name, image in zip(names, moving_frames(len(names), 32, 48, seed), strict=True):
            cv2.imwrite(str(folder / name), image)

    root = tmp_path / 'vimeo_septuplet'
    for seed, clip in enumerate(('00001/0001', '00001/0002')):
        write(root / 'sequences' / clip, [f'im{i}.png' for i in range(1, 8)], seed)
    (root / 'sep_trainlist.txt').write_text('00001/0001\n')
    (root / 'sep_testlist.txt').write_text('00001/0002\n')
    found = find_vimeo90k(root, expected=VimeoNumbers(train=1, test=1, size=(32, 48)))
    prepare_published(found, tmp_path / 'vimeo', workers=2, progress=False)
    assert not check(tmp_path / 'vimeo').found

    for clip in ('calendar', 'walk'):
        write(tmp_path / 'Vid4' / 'GT' / clip, ['00000000.png', '00000001.png'], len(clip))
    found = find_vid4(tmp_path / 'Vid4', expected=dict.fromkeys(('calendar', 'walk'), (2, (32, 48))))
    prepare_published(found, tmp_path / 'vid4', form='png', workers=2, progress=False)
    findings = check(tmp_path / 'vid4')
    assert not findings.found and findings.done['counts'] == '4 clips'
    rewrite(tmp_path / 'vid4', 'BIx4/walk/00000001.png', lambda image: 255 - image)
    assert failed(check(tmp_path / 'vid4')) == {'checksums', 'pairs'}


def test_plain_folders_are_checked_as_far_as_possible(make, tmp_path):
    root = make()
    (root / 'manifest.json').unlink()
    findings = check(root)
    assert not findings.found and findings.verdict('checksums') == 'not checked'
    assert findings.done['pairs'] == f'{6 * 3 * 2} LQ frames made again'
    alone = check(root / 'train' / 'GT')
    assert {name for name in CHECKS if alone.verdict(name) == 'not checked'} == {
        'pairs',
        'checksums',
        'sources',
        'duplicates',
    }
    one = check(root / 'train' / 'GT' / 'a_0000')
    assert not one.found and one.done['decoding'] == '4 frames'


def test_the_list_beside_plain_folders(make):
    root = make()
    (root / 'manifest.json').unlink()
    meta = root / 'train/meta_info.txt'
    meta.write_text('a_0000 4 (32,48,3)\na_0001\n')
    assert not check(root).found
    meta.write_text('a_0000 100 (32,48,3)\na_0001 4 (48,48,3)\n777 4 (32,48,3)\n')
    for top in (root, root / 'train', root / 'train/GT'):
        findings = check(top)
        assert failed(findings) >= {'counts', 'sizes'}
        assert 'a_0000: GT and meta_info.txt: 4 frames, listed are 100' in said(findings, 'counts')
        assert 'GT and meta_info.txt: 1 clips are missing (777)' in said(findings, 'counts')
        assert 'a_0001: 4 GT frames, first 00000000: 48x32 (width x height), not 48x48' in said(findings, 'sizes')
    meta.write_text('a_0000 4 (32,48,3)\n')  # a list may select clips
    findings = check(root)
    assert not findings.failed and 'GT and meta_info.txt: 1 clips are not listed (a_0001)' in said(findings, 'counts')
    assert not check(root / 'train/GT/a_0000').found


def test_linked_clips_are_read_as_the_data_sets_do(make, tmp_path):
    root = make()
    (root / 'manifest.json').unlink()
    for kind in ('GT', 'BIx2', 'BIx4'):
        (tmp_path / 'elsewhere' / kind).mkdir(parents=True)
        (root / 'train' / kind / 'a_0001').rename(tmp_path / 'elsewhere' / kind / 'a_0001')
        (root / 'train' / kind / 'a_0001').symlink_to(tmp_path / 'elsewhere' / kind / 'a_0001')
        (tmp_path / 'elsewhere' / kind / 'a_0001/back').symlink_to(root / 'train')
    findings = check(root)
    assert not findings.found and findings.done['counts'] == '18 clips'
    frame = tmp_path / 'elsewhere/GT/a_0001/00000002.png'
    frame.write_bytes(frame.read_bytes()[:200])
    assert 'train/a_0001: GT 00000002: the PNG is cut off' in said(check(root), 'decoding')
    shutil.rmtree(tmp_path / 'elsewhere/GT')
    assert 'train/GT/a_0001: is a link to something that is not there' in said(check(root), 'counts')


def test_folders_that_cannot_be_listed(make, monkeypatch):
    root, scandir = make(), os.scandir

    def refuse(path):
        if str(path).endswith('GT/a_0001'):
            raise PermissionError(13, 'Permission denied', str(path))
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', refuse)
    (root / 'manifest.json').unlink()
    assert 'train/GT/a_0001: cannot be listed (Permission denied)' in said(check(root), 'counts')


def test_an_lmdb_alone(make):
    findings = check(make('lmdb') / 'val' / 'GT.lmdb')
    assert not findings.found and findings.done['decoding'] == '8 frames'


def test_nothing_to_verify(tmp_path):
    with pytest.raises(UserError, match='holds no clips'):
        open_stored(tmp_path)
    with pytest.raises(UserError, match='no such folder'):
        open_stored(tmp_path / 'none')
    (tmp_path / 'manifest.json').write_text('[]')
    with pytest.raises(UserError, match='not the manifest'):
        open_stored(tmp_path)


# ------------------------------------------------------------ damage


def test_a_truncated_frame(make):
    root = make()
    path = root / 'train/GT/a_0001/00000002.png'
    path.write_bytes(path.read_bytes()[:-20])
    findings = check(root)
    assert failed(findings) == {'decoding'} and 'train/a_0001: GT 00000002: the PNG is cut off' in said(
        findings, 'decoding'
    )


def test_a_changed_low_resolution_frame(make):
    root = make()
    rewrite(root, 'val/BIx2/b_0000/00000000.png', lambda image: np.where(image < 128, image + 3, image))
    findings = check(root)
    assert failed(findings) == {'checksums', 'pairs'}
    assert 'val/b_0000: 1 of the BIx2 frames that were made again differ, most 00000000: 3 levels' in said(
        findings, 'pairs'
    )
    assert failed(check(root, sample=0)) == {'checksums'}


def test_swapped_clips(make):
    root = make()
    one, other = (root / 'train/BIx4' / name for name in ('a_0000', 'a_0001'))
    one.rename(root / 'x'), other.rename(one), (root / 'x').rename(other)
    (root / 'manifest.json').unlink()
    findings = check(root)
    assert failed(findings) == {'pairs'} and 'it is not of this GT frame' in said(findings, 'pairs')


def test_low_resolution_by_other_means_is_only_noted(make):
    root = make()
    (root / 'manifest.json').unlink()
    rewrite(root, 'val/BIx2/b_0000/00000000.png', lambda image: np.where(image < 128, image + 1, image))
    findings = check(root)
    assert not findings.failed and 'another down-sampling' in said(findings, 'pairs')
    assert findings.verdict('pairs') == 'look'


def test_a_frame_of_another_size(make):
    root = make()
    rewrite(root, 'train/GT/a_0000/00000001.png', lambda image: image[:30])
    findings = check(root, sample=2)
    assert 'sizes' in failed(findings) and 'first 00000001: 48x30' in said(findings, 'sizes')


@pytest.mark.parametrize('what', ['frame', 'clip', 'kind'])
def test_missing_parts(what, make):
    root = make()
    gone = {'frame': 'train/BIx4/a_0000/00000003.png', 'clip': 'train/BIx4/a_0000', 'kind': 'train/BIx4'}[what]
    (root / gone).unlink() if what == 'frame' else shutil.rmtree(root / gone)
    findings = check(root)
    assert 'counts' in failed(findings)
    wanted = {'frame': '3 frames, listed are 4', 'clip': '1 clips are missing (a_0000)', 'kind': 'no such folder'}
    assert wanted[what] in said(findings, 'counts')


def test_an_additional_clip_and_an_additional_frame(make):
    root = make()
    shutil.copytree(root / 'train/GT/a_0000', root / 'train/GT/z')
    shutil.copy(root / 'val/GT/b_0000/00000003.png', root / 'val/GT/b_0000/00000004.png')
    findings = check(root)
    assert '1 clips are not listed (z)' in said(findings, 'counts')
    assert 'val/b_0000: GT and BIx4 do not have the same frames' in said(findings, 'pairs')


def test_lmdb_with_a_changed_and_a_missing_value(make):
    root = make('lmdb')
    environment = lmdb.open(str(root / 'train/GT.lmdb'), map_size=1 << 24, lock=False)
    with environment, environment.begin(write=True) as transaction:
        transaction.delete(b'a_0000/00000000')
        transaction.put(b'a_0001/00000000', encode_png(np.zeros((32, 48, 3), np.uint8)))
    findings = check(root)
    assert {'decoding', 'counts', 'checksums', 'pairs'} <= failed(findings)
    assert 'train/a_0000: GT 00000000: is missing' in said(findings, 'decoding')
    assert 'holds 7 frames, its meta_info.txt lists 8' in said(findings, 'counts')


def test_lmdb_that_is_none(make):
    root = make('lmdb')
    (root / 'train/GT.lmdb/data.mdb').write_bytes(b'nothing')
    (root / 'val/GT.lmdb/data.mdb').unlink()
    (root / 'test/GT.lmdb/meta_info.txt').write_text('what\n')
    findings = check(root)
    assert 'not a readable LMDB' in said(findings, 'counts') and 'line 1: is not' in said(findings, 'counts')
    assert 'holds no data.mdb' in said(findings, 'counts') and not (root / 'val/GT.lmdb/data.mdb').exists()


def test_lmdb_that_is_cut_off(make):
    """As by a copy that was interrupted. LMDB itself would end the process with SIGBUS."""
    root = make('lmdb')
    file = root / 'train/GT.lmdb/data.mdb'
    os.truncate(file, file.stat().st_size * 6 // 10)
    findings = check(root)
    assert {'counts', 'decoding'} <= failed(findings)
    assert 'data.mdb is cut off: it has' in said(findings, 'counts')
    assert 'train/a_0000: 4 GT frames, first 00000000: cannot be read' in said(findings, 'decoding')  # in one line


def test_a_list_that_differs_from_the_manifest(make):
    root = make()
    path = root / 'train/meta_info.txt'
    path.write_text(path.read_text().replace('a_0000 4', 'a_0000 5'))
    assert 'GT and meta_info.txt: 4 frames, listed are 5' in said(check(root), 'counts')


def test_a_list_that_is_no_text_or_no_list(make):
    root = make('lmdb')
    (root / 'train/meta_info.txt').write_bytes(b'\xe4\xf6 4 (32,48,3)\n')
    (root / 'val/meta_info.txt').write_text('b_0000 4 (32x48x3)\n')
    findings = check(root)
    assert failed(findings) == {'counts'}
    assert 'train/meta_info.txt: it is not UTF-8 text' in said(findings, 'counts')
    assert 'val/meta_info.txt, line 1: expected "<clip> <frames> (<h>,<w>,<c>)"' in said(findings, 'counts')


def change_manifest(root, change):
    manifest = json.loads((root / 'manifest.json').read_bytes())
    change(manifest)
    (root / 'manifest.json').write_text(json.dumps(manifest))


@pytest.mark.parametrize('key', ['name', 'split', 'frames', 'size', 'sha256', 'source'])
@pytest.mark.parametrize('value', [None, ['what', 1]])
def test_a_manifest_with_damaged_clips(make, key, value):
    root = make()
    change_manifest(root, lambda manifest: manifest['clips'][0].update({key: value}))
    findings = check(root)
    assert failed(findings) == {'counts'}
    assert f'manifest.json: clips, entry 1: {key} missing or damaged' in said(findings, 'counts')
    assert 'GT and manifest.json: 1 clips are not listed (a_0000)' in said(findings, 'counts')
    assert findings.done['decoding'] == '72 frames'


def test_a_manifest_with_damaged_parts(make):
    root = make()
    change_manifest(root, lambda manifest: manifest.update(sources=[{'name': 'a'}, 7]))
    findings = check(root)
    assert failed(findings) == {'counts'}
    assert 'sources, entry 1: sha256 missing or damaged' in said(findings, 'counts')
    assert 'sources, entry 2: all of it missing or damaged' in said(findings, 'counts')
    change_manifest(root, lambda manifest: manifest.update(settings=None, clips='gone'))
    findings = check(root)
    assert 'settings are damaged' in said(findings, 'counts') and 'clips, entry 1: all of it' in said(
        findings, 'counts'
    )


def test_all_splits_missing(make):
    root = make()
    for split in ('train', 'val', 'test'):
        shutil.rmtree(root / split)
    findings = check(root)
    assert failed(findings) == {'counts'} and 'train/GT: no such folder' in said(findings, 'counts')


# ------------------------------------------------------------ leaks


def test_a_source_in_two_splits(make):
    root = make()
    manifest = json.loads((root / 'manifest.json').read_bytes())
    for clip in manifest['clips']:
        if clip['split'] == 'val':
            clip['source'] = 'a'
    (root / 'manifest.json').write_text(json.dumps(manifest))
    assert 'a is a source of train and val' in said(check(root), 'sources')


def test_two_sources_with_the_same_content(make):
    root = make()
    manifest = json.loads((root / 'manifest.json').read_bytes())
    for source in manifest['sources']:
        source['sha256'] = 'same' if source['name'] in 'ac' else source['sha256']
    (root / 'manifest.json').write_text(json.dumps(manifest))
    assert 'a, c have the same content' in said(check(root), 'sources')


def test_a_clip_name_in_two_plain_splits(make):
    root = make()
    (root / 'manifest.json').unlink()
    for kind in ('GT', 'BIx2', 'BIx4'):
        (root / 'val' / kind / 'b_0000').rename(root / 'val' / kind / 'a_0000')
    assert 'a_0000 is a clip of train and val' in said(check(root), 'sources')


def test_near_duplicates_across_splits(make, moving_frames):
    """The test video is the training video, brighter and coded again as JPEG."""
    frames = moving_frames(8, 32, 48, 0)
    coded = [cv2.imdecode(cv2.imencode('.jpg', frame, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], 1) for frame in frames]
    findings = check(make(c=[cv2.add(frame, np.full(frame.shape, 6, np.uint8)) for frame in coded]))
    assert failed(findings) == {'duplicates'}
    assert 'train/a_0000: 4 of 4 frames compared look as in test/c_0000' in said(findings, 'duplicates')
    assert 'val' not in said(findings, 'duplicates')


def test_dark_clips_are_no_duplicates(make):
    dark = [np.full((32, 48, 3), i, np.uint8) for i in range(8)]
    findings = check(make(a=dark, c=[frame + 1 for frame in dark]))
    assert findings.verdict('duplicates') == 'passed'


# ------------------------------------------------------------ motion


def test_frozen_frames_and_jumps_are_worth_a_look(make, moving_frames):
    still = moving_frames(1, 32, 48, 0)[0]
    frames = [cv2.add(still, np.full(still.shape, i, np.uint8)) for i in range(8)]
    frames[1] = frames[0]
    frames[6:] = [255 - frame for frame in frames[6:]]
    findings = check(make(a=frames))
    assert not findings.failed and findings.verdict('motion') == 'look'
    assert 'train/a_0000: 1 of 4 frames repeat the one before' in said(findings, 'motion')
    assert 'train/a_0001: jumps by' in said(findings, 'motion')


def test_motion_is_measured(make, tmp_path):
    """A pattern that moves by two pixels a frame."""
    canvas = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (128, 200, 3), dtype=np.uint8), (0, 0), 4)
    canvas = cv2.normalize(canvas, None, 0, 255, cv2.NORM_MINMAX)
    frames = [canvas[:, 2 * i : 2 * i + 160] for i in range(8)]
    stored = open_stored(make(a=frames, b=[canvas[:, :160]] * 8))
    clips, _ = verify(stored, workers=1, progress=False)
    moving = next(clip for clip in clips if clip.name == 'a_0000')
    expected = np.mean([np.abs(cv2.subtract(*(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY).astype(int) for f in pair))).mean()
                        for pair in zip(frames[:3], frames[1:4], strict=True)])  # fmt: skip
    assert moving.motion == pytest.approx(expected) and moving.flow == pytest.approx(2, abs=0.3)
    still = next(clip for clip in clips if clip.name == 'b_0000')
    assert still.motion == 0 and still.flow < 0.01


# ------------------------------------------------------------ command and page


def test_the_command(make, tmp_path, capsys):
    root = make()
    before = sha256_of(sorted(p for p in root.rglob('*') if p.is_file()))
    assert cli.main(['verify', str(root), '--no-html', '--workers', '1']) == 0
    assert sha256_of(sorted(p for p in root.rglob('*') if p.is_file())) == before
    assert 'passed      every frame decodes' in capsys.readouterr().out
    assert cli.main(['verify', str(root), '--html', str(tmp_path / 'page.html')]) == 0
    page = (tmp_path / 'page.html').read_text()
    assert page.count('data:image/jpeg;base64,') == 6 and 'http' not in page and '<svg' in page
    (root / 'train/GT/a_0000/00000000.png').write_bytes(b'')
    assert cli.main(['verify', str(root)]) == 1
    assert 'Something is wrong' in (root / 'verify.html').read_text()
    assert cli.main(['verify', str(root), '--sample', '-1']) == 2


def test_strict_fails_on_what_is_worth_a_look(make, moving_frames, capsys):
    frames = moving_frames(8, 32, 48, 0)
    frames[1] = frames[0]
    root = make(a=frames)
    assert cli.main(['verify', str(root), '--no-html']) == 0
    assert cli.main(['verify', str(root), '--no-html', '--strict']) == 1


def test_names_are_escaped(tmp_path, moving_frames):
    for i, frame in enumerate(moving_frames(3)):
        path = tmp_path / 'data' / '<b>&clip' / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), frame)
    stored = open_stored(tmp_path / 'data')
    page = as_html(stored, *verify(stored, workers=1, progress=False))
    assert '<b>&clip' not in page and '&lt;b&gt;&amp;clip' in page


def test_the_page_is_well_formed(make):
    """Every element is closed, in order."""
    root = make()
    (root / 'train/GT/a_0000/00000001.png').write_bytes(b'')
    stored = open_stored(root)
    open_elements, wrong = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ('meta', 'img', 'br'):
                open_elements.append(tag)

        def handle_startendtag(self, tag, attrs):
            pass

        def handle_endtag(self, tag):
            if not open_elements or open_elements.pop() != tag:
                wrong.append(tag)

    Reader().feed(as_html(stored, *verify(stored, workers=1, progress=False)))
    assert not wrong and not open_elements


def test_contact_sheet(make):
    root = make()
    (root / 'train/GT/a_0000/00000001.png').write_bytes(b'')
    sheet = contact_sheet(open_stored(root), 'train', 'a_0000')
    assert sheet.shape == (round(WIDTH * 32 / 48), FRAMES * (WIDTH + 2) - 2, 3)
    first = cv2.cvtColor(cv2.imread(str(root / 'train/GT/a_0000/00000000.png')), cv2.COLOR_BGR2RGB)
    assert (sheet[:, :WIDTH] == cv2.resize(first, (WIDTH, sheet.shape[0]), interpolation=cv2.INTER_AREA)).all()
    assert (sheet[:, WIDTH + 2 : 2 * WIDTH + 2] == 128).all() and (sheet[:, 4 * (WIDTH + 2) :] == 255).all()
    assert cv2.imdecode(np.frombuffer(as_jpeg(sheet), np.uint8), 1).shape == sheet.shape


# ------------------------------------------------------------ hashes


def test_hashes_know_the_same_frame_again(moving_frames):
    rng = np.random.default_rng(0)
    hashes, small = [], []
    for seed in range(20):
        gray = moving_frames(1, 96, 128, seed)[0][..., 1]
        noisy = np.clip(gray + rng.normal(0, 6, gray.shape), 0, 255).astype(np.uint8)
        halved = cv2.resize(noisy, (64, 48), interpolation=cv2.INTER_AREA)
        small.append([thumbnail(image) for image in (gray, halved)])
        hashes.append([perceptual_hash(image) for image in small[-1]])
    a, b = np.array(hashes, np.uint64).T
    distances = _bits(a[:, None] ^ b[None])
    assert distances.diagonal().max() <= NEAR_BITS < np.sort(distances.ravel())[20]
    assert sorted(near_pairs(a, b)) == [(i, i) for i in range(20)]
    assert all(look_alike(*pair) for pair in small) and not look_alike(small[0][0], small[1][0])
    assert perceptual_hash(np.full((32, 32), 90, np.uint8)) is None
    assert near_pairs(np.zeros(0, np.uint64), a) == [] == near_pairs(a, np.zeros(0, np.uint64))


def test_bits_without_numpy_2(monkeypatch):
    values = np.array([[0, 1, 255], [2**63, 2**64 - 1, 5]], np.uint64)
    monkeypatch.delattr(np, 'bitwise_count', raising=False)
    assert _bits(values).tolist() == [[0, 1, 8], [1, 64, 2]]


def test_spread():
    assert spread(list('abcdefg'), 3) == ['a', 'd', 'g'] and spread([1, 2], 5) == [1, 2] and spread([1, 2], 0) == []
