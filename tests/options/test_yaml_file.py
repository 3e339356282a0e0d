import pytest

from basicsr_ssm.options import OptionError, read_options


def write(tmp_path, text):
    path = tmp_path / 'file.yml'
    path.write_text(text)
    return path


# ---------------------------------------------------------------- reading


def test_numbers_are_numbers(tmp_path):
    text = 'a: 2e-4\nb: !!float 1e-7\nc: 5E3\nd: 0.5\ne: 12\nf: 1e400x\ng: -3e+2\n'
    assert read_options(write(tmp_path, text)) == dict(a=2e-4, b=1e-7, c=5000.0, d=0.5, e=12, f='1e400x', g=-300.0)


def test_order_is_kept(tmp_path):
    assert list(read_options(write(tmp_path, 'z: 1\na: 2\nm: 3\n'))) == ['z', 'a', 'm']


def test_python_tags_run_nothing(tmp_path):
    trace = tmp_path / 'trace'
    path = write(tmp_path, f'name: x\nbad: !!python/object/apply:os.mkdir ["{trace}"]\n')
    with pytest.raises(OptionError, match=r'file.yml, line 2: tag !!python/object/apply:os.mkdir is not allowed'):
        read_options(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    'text, message',
    [
        ('a: 1\nb: 2\na: 3\n', 'line 3: option a is written twice, first in line 1'),
        ('s:\n  a: 1\n  a: 3\n', 'line 3: option a is written twice, first in line 2'),
        ('a: [1, 2\nb: 3\n', 'line 2'),
        ('', 'a mapping of options, this is empty'),
        ('- 1\n', 'a mapping of options, this is a list'),
        ('a: !!float abc\n', 'abc'),
        ('a: !mytag 3\n', 'tag !!!mytag is not allowed'),
        ('? [a, b]\n: 3\n', 'line 1'),
        ('a: &a {b: [*a]}\n', 'an alias stands inside of what it is an alias of'),
    ],
)
def test_broken_files_are_named_with_the_line(text, message, tmp_path):
    with pytest.raises(OptionError, match='file.yml.*' + message):
        read_options(write(tmp_path, text))


def test_merge_keys_may_be_overridden(tmp_path):
    text = 'one: &one {a: 1, b: 2}\ntwo:\n  <<: *one\n  b: 3\n'
    assert read_options(write(tmp_path, text))['two'] == {'a': 1, 'b': 3}


def test_aliases_are_sections_of_their_own(tmp_path):
    """BasicSR takes ``type`` out of one optimizer's section before it reads the other's."""
    text = 'g: &adam {type: Adam, betas: [0.9, 0.99]}\nd: *adam\nall: [*adam]\nmerged: {<<: *adam}\n'
    opt = read_options(write(tmp_path, text))
    adam = {'type': 'Adam', 'betas': [0.9, 0.99]}
    assert opt == {'g': adam, 'd': adam, 'all': [adam], 'merged': adam}
    opt['g'].pop('type')
    opt['g']['betas'].clear()
    assert opt == {'g': {'betas': []}, 'd': adam, 'all': [adam], 'merged': adam}


def test_missing_file():
    with pytest.raises(OptionError, match='cannot read option file nowhere.yml'):
        read_options('nowhere.yml')
