"""Which names of frames tell that some are missing."""

import pytest

from basicsr_ssm.clips.numbering import gaps_in


@pytest.mark.parametrize(
    ('stems', 'gaps'),
    [
        (['0000', '0001', '0002', '0005', '0006'], (3,)),
        (['f7', 'f8', 'f9', 'f10', 'f12', 'f13', 'f40'], (4, 6)),  # zeros in front or none
        (['left_1_x', 'left_2_x', 'left_4_x'], (2,)),  # wherever the number is
        (['2024_cam2_8', '2024_cam2_9', '2024_cam2_11', '2024_cam2_12'], (2,)),
        (['0', '5', '10', '15'], ()),  # in steps
        (['0', '5', '10', '20', '25', '40'], (3, 5)),
        (['0', '40', '80', '119', '160'], ()),  # times
        (['3', '17', '18', '30', '46', '91'], ()),  # a selection
        (['1', '2', 'thumb', '5'], ()),
        (['a1', 'a2', 'b5', 'b6'], ()),
        (['1_0', '1_1', '2_5', '2_6'], ()),
        (['1', '01', '3'], ()),
        (['scan1'], ()),
        ([], ()),
    ],
)
def test_gaps(stems, gaps):
    assert gaps_in(stems) == gaps
