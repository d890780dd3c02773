"""Energy read from counters of the machine."""

import pytest

from studies.guided_retraining.energy import Meter


def test_the_meter_reads_counters_that_begin_again(tmp_path):
    domains = {"package-0": ("intel-rapl:0", 100), "psys": ("intel-rapl:1", 900), "core": ("intel-rapl:0:0", 5)}
    domains["package-1"] = ("intel-rapl:2", 900)
    for label, (name, value) in domains.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(label + "\n")
        (tmp_path / name / "energy_uj").write_text(str(value))
        (tmp_path / name / "max_energy_range_uj").write_text("1000")
    meter = Meter(tmp_path)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("400")
    (tmp_path / "intel-rapl:2" / "energy_uj").write_text("100")
    assert meter.joules() == pytest.approx((300 + 200) / 1e6)
    assert Meter(tmp_path / "none").joules() is None
