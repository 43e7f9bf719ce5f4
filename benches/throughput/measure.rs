//! What a run costs: wall time, and the CPU and memory of the peer's processes as Linux counts them.

use std::time::{Duration, Instant};

use crate::Outcome;

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From connect to the last octet.
    pub time: Duration,
    /// Of the peer, user and system.
    pub cpu: Duration,
    /// How often one of the peer's threads was given a processor: how often it had to wait, mostly.
    pub switches: u64,
    /// Octets of mail moved.
    pub octets: u64,
    /// Most resident memory of the peer, in octets.
    pub peak: u64,
    /// How much more that is than before the run.
    pub growth: u64,
}

impl Sample {
    /// Seconds of CPU for 10^9 octets.
    pub fn cpu_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.octets as f64
    }

    /// Task switches for 10^6 octets.
    pub fn switches_per_mb(&self) -> f64 {
        self.switches as f64 * 1e6 / self.octets as f64
    }
}

/// Does `work` and watches process `id` and its children meanwhile. The connections that `work` returns are open until
/// all is counted, so that a thread that serves one is still there to be asked.
pub fn sample<T>(id: u32, octets: u64, work: impl FnOnce() -> std::io::Result<T>) -> Outcome<Sample> {
    let processes = tree(id)?;
    for process in &processes {
        // The peak begins anew at what is resident now.
        std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
    }
    let (work_before, resident) = (Work::of(&processes)?, memory(&processes, "VmRSS:")?);
    let begun = Instant::now();
    let connections = work()?;
    let time = begun.elapsed();
    let done = Work::of(&processes)?;
    let peak = memory(&processes, "VmHWM:")?;
    drop(connections);
    Ok(Sample {
        time,
        cpu: Duration::from_nanos(done.nanoseconds.saturating_sub(work_before.nanoseconds)),
        switches: done.slices.saturating_sub(work_before.slices),
        octets,
        peak,
        growth: peak.saturating_sub(resident),
    })
}

/// Memory of process `id` and its children that is theirs alone and no file's, in octets.
pub fn anonymous(id: u32) -> Outcome<u64> {
    memory(&tree(id)?, "RssAnon:")
}

/// A process and its children.
fn tree(id: u32) -> Outcome<Vec<u32>> {
    let mut processes = vec![id];
    let mut seen = 0;
    while let Some(process) = processes.get(seen) {
        let children = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
        let children: Result<Vec<u32>, _> = children.split_whitespace().map(str::parse).collect();
        processes.extend(children?);
        seen += 1;
    }
    Ok(processes)
}

/// What the scheduler counts for a thread.
#[derive(Debug, Default)]
struct Work {
    /// On a processor. `utime` and `stime` count in hundredths of a second, too coarse for a run of a fifth.
    nanoseconds: u64,
    /// How often it was given one.
    slices: u64,
}

impl Work {
    /// Of all threads there are.
    fn of(processes: &[u32]) -> Outcome<Self> {
        let mut total = Self::default();
        for process in processes {
            for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
                // A thread may end between the listing and the look.
                let counts = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
                let counts: Result<Vec<u64>, _> = counts.split_whitespace().map(str::parse).collect();
                if let [nanoseconds, _waited, slices] = counts?[..] {
                    total.nanoseconds += nanoseconds;
                    total.slices += slices;
                }
            }
        }
        Ok(total)
    }
}

/// A line of /proc/ID/status, summed over processes.
fn memory(processes: &[u32], name: &str) -> Outcome<u64> {
    let mut total = 0;
    for process in processes {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        total += kib * 1024;
    }
    Ok(total)
}
