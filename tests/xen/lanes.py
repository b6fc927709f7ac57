# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Several machines at once, each with a thread that takes the next scenario when it is done with one. They share nothing but
# the folders that they see, so a scenario has its dom0 for itself and what it leaves behind is its own.
import queue
import threading
import time

from machine import MachineFailed

STATUS_TIMEOUT = 124
STATUS_KILLED = 137


class Result:
    """What became of a scenario; `wrong` is empty when it passed."""

    def __init__(self, scenario, seconds, wrong, log):
        self.scenario = scenario
        self.seconds = seconds
        self.wrong = wrong
        self.log = log


class Log:
    """Where what a machine prints goes: the scenario that runs, and before the first one the boot."""

    def __init__(self, folder, number):
        self.folder = folder
        self.file = open(folder / f"boot-{number}.log", "wb")

    def open(self, name):
        self.file.close()
        self.file = open(self.folder / f"{name}.log", "wb")

    def __call__(self, data):
        self.file.write(data)
        self.file.flush()


class Lanes:
    """Runs scenarios on machines from `boot(number, output)`; one that failed in an unknown state is booted again. A scenario
    whose machine did not answer is run once more; `report(text)` says so."""

    def __init__(self, boot, scenarios, logs, report, seconds=None):
        """`seconds` takes the place of the scenarios' own limits."""
        self.boot = boot
        self.report = report
        self.again = set()
        self.logs = logs
        self.seconds = seconds
        self.waiting = queue.SimpleQueue()
        for scenario in scenarios:
            self.waiting.put(scenario)
        self.count = len(scenarios)
        self.results = queue.SimpleQueue()
        self.machines = set()
        self.lock = threading.Lock()
        self.stopped = False

    def run(self, number_of_lanes):
        """Yields each Result when it is there. However that ends, no machine is left."""
        threads = [threading.Thread(target=self.lane, args=(number + 1,)) for number in range(number_of_lanes)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(self.count):
                yield self.results.get()
        finally:
            self.stop()
            for thread in threads:
                thread.join()

    def stop(self):
        with self.lock:
            self.stopped = True
            for machine in self.machines:
                machine.stop()

    def lane(self, number):
        log = Log(self.logs, number)
        machine = None
        while not self.stopped:
            try:
                scenario = self.waiting.get_nowait()
            except queue.Empty:
                break
            begin = time.monotonic()
            try:
                machine = machine or self.booted(number, log)
                log.open(scenario.name)
                wrong, usable = run_scenario(machine, scenario, self.seconds or scenario.seconds)
            except MachineFailed as failure:
                wrong, usable = str(failure), False
                if scenario not in self.again and not self.stopped:
                    # What the scenario found is unknown. It is not lost: the report and the console stay.
                    self.again.add(scenario)
                    self.report(f"{scenario.name}: {wrong}; once more, on a new machine")
                    self.waiting.put(scenario)
                    if machine:
                        self.retire(machine)
                        machine = None
                    continue
            except Exception as failure:  # of whatever kind: a result is waited for
                wrong, usable = str(failure) or repr(failure), False
            if machine and not usable:
                self.retire(machine)
                machine = None
            self.results.put(Result(scenario, time.monotonic() - begin, wrong, log.file.name))
        if machine:
            self.retire(machine)

    def booted(self, number, log):
        with self.lock:
            if self.stopped:
                raise MachineFailed("stopped")
            machine = self.boot(number, log)
            self.machines.add(machine)
        try:
            machine.wait_for_boot()
        except BaseException:
            self.retire(machine)
            raise
        return machine

    def retire(self, machine):
        with self.lock:
            self.machines.discard(machine)
            machine.stop()


def run_scenario(machine, scenario, seconds):
    """(what went wrong or '', whether the machine can be used on)"""
    status, left = machine.run("scenario", scenario.name, seconds)
    if status in (STATUS_TIMEOUT, STATUS_KILLED):
        return f"not done after {seconds} s", False
    if status != 0:
        return f"status {status}", left == 0
    return ("left something behind", False) if left else ("", True)
