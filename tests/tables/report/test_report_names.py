"""What clips, folders and the page may be called."""

import json
import os

from report_page import Page, report
from report_results import CLIPS

from basicsr_ssm.files import write_json


def test_folders_and_page_by_links(results):
    """Both results lie in folders of the same name, as a run on a cluster leaves them."""
    for name in ('one', 'two'):
        target = results / f'run_{name}/results'
        target.parent.mkdir()
        (results / name).rename(target)
        (results / f'Model{name}').symlink_to(target.resolve())
    (results.parent / 'out').mkdir()
    (results.parent / 'out/page.html').symlink_to('../elsewhere/real.html')
    page = Page(report('results/Modelone', 'results/Modeltwo/'))
    assert {alt.split(':')[0] for alt in page.images} == {'bicubic', 'Modelone', 'Modeltwo', 'ground truth'}
    assert (results.parent / 'out/page.html').is_symlink() and (results.parent / 'elsewhere/real.html').is_file()


def renamed(results, names):
    """Give the clips of one other names."""
    for file in ('metrics.json', 'metrics_per_frame.json'):
        path = results / 'one' / file
        clips = json.loads(path.read_text())['set <1>']
        write_json(path, {'set <1>': {new: clips[old] for old, new in zip(CLIPS, names, strict=True)}})
    (results / 'one/options.json').unlink()
    for old, new in zip(CLIPS, names, strict=True):
        (results / 'one/visualization/set <1>' / old).rename(results / 'one/visualization/set <1>' / new)


def test_clips_are_in_natural_order(results):
    names = ['clip_10', 'clip_9', 'clip_1']
    renamed(results, names)
    page = Page(report('results/one', '--frames', *names))
    assert [row[0] for row in page.rows[2:]] == ['clip_1', 'clip_9', 'clip_10', 'mean']
    shown = [alt.split(': ')[1].split(',')[0] for alt in page.images]
    assert list(dict.fromkeys(shown)) == ['clip_1', 'clip_9', 'clip_10']


def test_names_that_are_not_utf8(results):
    name = os.fsdecode(b'caf\xe9')
    renamed(results, ['a', 'b', name])
    page = Page(report('results/one', '--frames', name))
    assert page.rows[-2][0] == r'caf\udce9' and r'one: caf\udce9, frame 1' in page.images


def test_a_clip_called_mean_is_missed(results):
    renamed(results, ['a', 'b', 'mean'])
    page = Page(report('results/one'))
    assert 'The clip called mean is missing: metrics.json of one has the mean over clips in its place.' in page.text
