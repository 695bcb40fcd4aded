//! What the node has, and what of it is taken. The scheduler counts too, from objects; the node has the last word,
//! so that two schedulers, or one that is behind, never overload it.

use breakbulk_schemas::pipeline::Resources;
use breakbulk_schemas::quantity;

use crate::config::CapacityOverrides;

/// What a job takes where it names no processors.
const DEFAULT_CPU_MILLIS: u64 = 100;
/// What a job takes where it names no memory.
const DEFAULT_MEMORY_BYTES: u64 = 64 << 20;
/// Jobs per processor: most jobs wait more than they compute.
const JOBS_PER_CPU: u32 = 4;
/// Small machines run a few small jobs too.
const LEAST_JOBS: u32 = 8;

/// An amount of what jobs compete for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) cpu_millis: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) jobs: u32,
}

impl Amount {
    /// What this machine has.
    pub(crate) fn of_machine(overrides: CapacityOverrides) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cpus = u32::try_from(cpus).unwrap_or(u32::MAX);
        Self {
            cpu_millis: overrides.cpu_millis.unwrap_or(u64::from(cpus) * 1000),
            memory_bytes: overrides.memory_bytes.unwrap_or_else(machine_memory),
            jobs: overrides
                .jobs
                .unwrap_or_else(|| cpus.saturating_mul(JOBS_PER_CPU).max(LEAST_JOBS)),
        }
    }

    /// What a job takes. A quantity that does not read was let in by nobody; it counts as the default.
    pub(crate) fn of_job(resources: &Resources) -> Self {
        let cpu = resources.cpu.as_ref().and_then(|cpu| quantity::cpu_millis(cpu).ok());
        let memory = resources.memory.as_ref().and_then(|m| quantity::memory_bytes(m).ok());
        Self {
            cpu_millis: cpu.unwrap_or(DEFAULT_CPU_MILLIS),
            memory_bytes: memory.unwrap_or(DEFAULT_MEMORY_BYTES),
            jobs: 1,
        }
    }
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

/// Counts what is taken.
#[derive(Debug)]
pub(crate) struct Ledger {
    total: Amount,
    taken: Amount,
}

impl Ledger {
    pub(crate) fn new(total: Amount) -> Self {
        Self {
            total,
            taken: Amount::default(),
        }
    }

    /// Takes `wanted`, or says in words what is short.
    pub(crate) fn take(&mut self, wanted: Amount) -> Result<(), String> {
        let after = Amount {
            cpu_millis: self.taken.cpu_millis.saturating_add(wanted.cpu_millis),
            memory_bytes: self.taken.memory_bytes.saturating_add(wanted.memory_bytes),
            jobs: self.taken.jobs.saturating_add(wanted.jobs),
        };
        let mut short = Vec::new();
        if after.cpu_millis > self.total.cpu_millis {
            let free = self.total.cpu_millis.saturating_sub(self.taken.cpu_millis);
            short.push(format!("cpu (wants {}m, {free}m free)", wanted.cpu_millis));
        }
        if after.memory_bytes > self.total.memory_bytes {
            let free = self.total.memory_bytes.saturating_sub(self.taken.memory_bytes);
            short.push(format!(
                "memory (wants {}Mi, {}Mi free)",
                wanted.memory_bytes >> 20,
                free >> 20
            ));
        }
        if after.jobs > self.total.jobs {
            short.push(format!("places for jobs (all {} are taken)", self.total.jobs));
        }
        if short.is_empty() {
            self.taken = after;
            Ok(())
        } else {
            Err(short.join(", "))
        }
    }

    /// Takes what runs already, whether it fits or not.
    pub(crate) fn adopt(&mut self, amount: Amount) {
        self.taken.cpu_millis += amount.cpu_millis;
        self.taken.memory_bytes += amount.memory_bytes;
        self.taken.jobs += amount.jobs;
    }

    /// Gives back what was taken.
    pub(crate) fn give_back(&mut self, amount: Amount) {
        self.taken.cpu_millis = self.taken.cpu_millis.saturating_sub(amount.cpu_millis);
        self.taken.memory_bytes = self.taken.memory_bytes.saturating_sub(amount.memory_bytes);
        self.taken.jobs = self.taken.jobs.saturating_sub(amount.jobs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_takes_nothing() {
        let total = Amount {
            cpu_millis: 1000,
            memory_bytes: 1 << 30,
            jobs: 2,
        };
        let mut ledger = Ledger::new(total);
        let small = Amount::of_job(&Resources::default());
        let large = Amount {
            cpu_millis: 950,
            ..small
        };
        ledger.take(small).unwrap();
        assert!(ledger.take(large).unwrap_err().contains("900m free"));
        ledger.take(small).unwrap();
        assert!(ledger.take(small).unwrap_err().contains("places"));
        ledger.give_back(small);
        ledger.give_back(small);
        ledger.take(large).unwrap();
    }
}
