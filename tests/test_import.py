"""What importing the package does to the process."""

import os
import subprocess
import sys

import pytest

SHOW = "import basicsr_ssm, os; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ({}, 'PASSIVE 1000'),
        ({'GOMP_SPINCOUNT': '7'}, 'PASSIVE 7'),
        ({'OMP_WAIT_POLICY': 'ACTIVE'}, 'ACTIVE None'),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_otherwise(given, expected):
    environment = {key: v for key, v in os.environ.items() if key not in ('OMP_WAIT_POLICY', 'GOMP_SPINCOUNT')}
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SHOW],
        env={**environment, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split('\n')[-2] == expected
