from basicsr_ssm.file_lock import lock_file


def test_one_holds_it_or_several_share_it(tmp_path):
    path = tmp_path / 'lock'
    with lock_file(path):
        assert lock_file(path) is None and lock_file(path, shared=True) is None
    with lock_file(path, shared=True), lock_file(path, shared=True):
        assert lock_file(path) is None
    with lock_file(path, wait=True):
        assert path.exists()
