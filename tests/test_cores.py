from bogp import cores


def test_a_worker_uses_its_share_and_no_more_than_there_are(monkeypatch):
    monkeypatch.setattr(cores, "_most", None)
    every = cores.available_cores()
    cores.use_at_most(1)
    assert cores.available_cores() == 1
    cores.use_at_most(every + 7)
    assert cores.available_cores() == every
    cores.use_at_most(0)
    assert cores.available_cores() == 1
