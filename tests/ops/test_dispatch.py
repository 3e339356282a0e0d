import pytest

from basicsr_ssm.ops.dispatch import VARIABLE, Backend, BackendError, Operator, operators


@pytest.fixture
def doubled():
    """An operator whose fast backend takes only even numbers."""
    operator = Operator(
        'doubled',
        Backend('fast', lambda x: ('fast', 2 * x), lambda x=0: 'x is odd' if x % 2 else None),
        Backend('reference', lambda x: ('reference', x + x)),
    )
    yield operator
    from basicsr_ssm.ops import dispatch

    del dispatch._OPERATORS['doubled']


def test_the_first_that_can_serve_the_call_is_taken(doubled):
    assert doubled(None, 4) == ('fast', 8)
    assert doubled(None, 3) == ('reference', 6)


def test_argument_forces_a_backend(doubled):
    assert doubled('reference', 4) == ('reference', 8)


def test_forced_backend_that_cannot_serve_says_why(doubled):
    with pytest.raises(BackendError, match="'fast' cannot serve this call: x is odd"):
        doubled('fast', 3)


def test_unknown_backend_lists_the_known(doubled):
    with pytest.raises(BackendError, match='fast, reference'):
        doubled('triton', 4)


@pytest.mark.parametrize(
    'setting',
    [
        'reference',
        'doubled=reference',
        ' ssd=reference , doubled = reference ',
        'fast,doubled=reference',
        'doubled=reference,fast',
    ],
)
def test_environment_forces_a_backend(doubled, monkeypatch, setting):
    import basicsr_ssm.ops  # noqa: F401

    monkeypatch.setenv(VARIABLE, setting)
    assert doubled(None, 4)[0] == 'reference'


def test_environment_binds_only_operators_that_have_the_backend(doubled, monkeypatch):
    monkeypatch.setenv(VARIABLE, 'fast')
    other = next(o for o in operators() if 'fast' not in o.backends)
    assert other._forced_by_environment() is None
    assert doubled(None, 4)[0] == 'fast'


@pytest.mark.parametrize(
    'setting',
    ['nonsense', 'doubled=nonsense', 'nonsense=reference', 'reference,nonsense=fast', 'doubled=reference,ssd=nonsense'],
)
def test_misspelt_environment_is_an_error(doubled, monkeypatch, setting):
    monkeypatch.setenv(VARIABLE, setting)
    with pytest.raises(BackendError, match='nonsense'):
        doubled(None, 4)


@pytest.mark.parametrize(
    'setting, message',
    [
        ('ssd=fast', "no backend 'fast' of ssd; there are"),
        ('doubled=fast,doubled=reference', 'two backends for doubled'),
        ('=reference', "no operator ''"),
    ],
)
def test_environment_that_means_nothing_is_an_error(doubled, monkeypatch, setting, message):
    import basicsr_ssm.ops  # noqa: F401

    monkeypatch.setenv(VARIABLE, setting)
    with pytest.raises(BackendError, match=message):
        doubled(None, 4)


def test_no_name_is_no_backend(doubled):
    with pytest.raises(BackendError, match="no backend ''"):
        doubled('', 4)
