//! Time and CPU time of a measured window.

use std::fs;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Measures the processes `pids` between two moments.
pub struct Meter {
    pids: Vec<u32>,
    before: Vec<u64>,
    start: Instant,
}

impl Meter {
    /// Begins the window.
    pub fn begin(pids: Vec<u32>) -> Outcome<Self> {
        let before = pids.iter().map(|pid| cpu_ns(*pid)).collect::<Outcome<_>>()?;
        Ok(Self { pids, before, start: Instant::now() })
    }

    /// Ends it: how long it was, and the nanoseconds of CPU of each process.
    pub fn end(self) -> Outcome<(Duration, Vec<u64>)> {
        let elapsed = self.start.elapsed();
        let mut used = Vec::new();
        for (pid, before) in self.pids.iter().zip(&self.before) {
            used.push(cpu_ns(*pid)?.saturating_sub(*before));
        }
        Ok((elapsed, used))
    }
}

/// Resident memory of a process, in KiB.
pub fn resident_kib(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Nanoseconds that all threads of a process have run, as the kernel counts them.
fn cpu_ns(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        sum += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}
