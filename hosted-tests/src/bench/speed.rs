//! W1, W1+1, W2 and W3: what an allocation and a free cost. All allocators in turns, round by round.

use super::meter::{Key, Meter, Pace};
use super::options::{Scale, Workload};
use super::progress::Progress;
use super::rng::XorShift;
use super::subject::{Kind, Subject, Tenant};
use forebay::Order;

/// Runs those workloads that are wanted on all allocators. Each allocator has an arena of its own for all rounds. After each round
/// all of it is free.
pub fn run(
    subjects: &[Subject],
    workloads: &[Workload],
    scale: &Scale,
    meter: &mut dyn Meter,
    progress: &mut Progress,
) {
    let wanted: Vec<Workload> =
        Workload::SPEED.into_iter().filter(|workload| workloads.contains(workload)).collect();
    if wanted.is_empty() {
        return;
    }
    let (pace, subjects) = (meter.pace(), meter.subjects(subjects));
    let rounds = pace.warm_up + pace.rounds;
    let mut tenants: Vec<_> =
        subjects.iter().map(|subject| (*subject, (subject.make)(scale.arena))).collect();
    progress.begin("W1 to W3", scale.orders.len() * rounds * tenants.len());
    for order in &scale.orders {
        let half = (scale.pages() / 2) >> order.get();
        for round in 0..rounds {
            meter.counts_from_now(round);
            let seed = scale.seed ^ (round as u64) << 32 ^ u64::from(order.get()) << 56;
            for n in 0..tenants.len() {
                let n = (n + round) % subjects.len(); // in each round another allocator is the first
                let (subject, tenant) = &mut tenants[n];
                let life =
                    Life { subject, order: *order, pace, blocks: subject.kind.blocks(half), seed, meter };
                life.live(tenant.as_mut(), &wanted);
                progress.step();
            }
        }
    }
    progress.end();
}

/// A round of one allocator with one order.
struct Life<'a> {
    subject: &'a Subject,
    order: Order,
    pace: Pace,
    /// Blocks to hold.
    blocks: usize,
    seed: u64,
    meter: &'a mut dyn Meter,
}

impl Life<'_> {
    fn live(mut self, tenant: &mut dyn Tenant, wanted: &[Workload]) {
        tenant.reserve(self.blocks + 1);
        if wanted.contains(&Workload::W2) && self.subject.kind == Kind::Pages {
            self.bulk(tenant);
        }
        if wanted.iter().any(|workload| *workload != Workload::W2) {
            tenant.fill(self.order, self.blocks);
            if wanted.contains(&Workload::W1) {
                self.pairs("W1", tenant);
            }
            if wanted.contains(&Workload::W1PlusOne) {
                tenant.fill(self.order, 1);
                self.pairs("W1+1", tenant);
                tenant.drain(self.order, 1);
            }
            if wanted.contains(&Workload::W3) {
                self.replace(tenant);
            }
            tenant.drain(self.order, usize::MAX);
        }
        tenant.flush();
    }

    fn pairs(&mut self, workload: &str, tenant: &mut dyn Tenant) {
        let (key, order, ops) = (self.key(workload), self.order, self.pace.ops);
        tenant.pairs(order, ops); // the first one finds nothing that is kept ready
        for _ in 0..self.pace.batches {
            self.meter.batch(&key, ops, &mut || tenant.pairs(order, ops));
        }
    }

    fn replace(&mut self, tenant: &mut dyn Tenant) {
        let (key, order, ops) = (self.key("W3"), self.order, self.pace.ops);
        let mut rng = XorShift::new(self.seed);
        for _ in 0..self.pace.batches {
            let picks: Vec<u32> = (0..ops).map(|_| rng.draw() as u32).collect();
            self.meter.batch(&key, ops, &mut || tenant.replace(order, &picks));
        }
    }

    fn bulk(&mut self, tenant: &mut dyn Tenant) {
        let order = self.order;
        let key = self.key("W2-alloc");
        for ops in batches(self.blocks, self.pace.bulk) {
            self.meter.batch(&key, ops, &mut || tenant.fill(order, ops));
        }
        tenant.shuffle(&mut XorShift::new(self.seed));
        let key = self.key("W2-free");
        for ops in batches(self.blocks, self.pace.bulk) {
            self.meter.batch(&key, ops, &mut || tenant.drain(order, ops));
        }
    }

    fn key(&self, workload: &str) -> Key {
        let Subject { who, locked, .. } = *self.subject;
        Key { locked, ..Key::new(workload, self.order, who) }
    }
}

/// The lengths of batches: `all` operations, at most `most` in each batch.
fn batches(all: usize, most: usize) -> impl Iterator<Item = usize> {
    let most = most.min(all).max(1);
    (0..all).step_by(most).map(move |from| most.min(all - from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: batches have all operations, each once.
    #[test]
    fn all_batches() {
        for (all, most) in [(100, 32), (32, 32), (1, 32), (0, 32), (100, usize::MAX)] {
            assert_eq!(batches(all, most).sum::<usize>(), all);
            assert!(batches(all, most).all(|ops| ops <= most && ops > 0));
        }
    }
}
