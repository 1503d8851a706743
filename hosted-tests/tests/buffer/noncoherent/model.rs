//! Several buffers in random order: what CPU and device see of each is compared with what both wrote.

use super::*;
use hosted_tests::conformance::Rng;
use std::ops::Range;

const STEPS: usize = 1500;

/// Other bytes were seen than were written: what was going on.
type Found = Result<(), String>;

/// A buffer, what its bytes have to be, and what its driver knows.
struct Driver<'h, 'w, T: Slots<Platform = Plat<'w>>> {
    buffer: Buffer<&'h Pooled<'w>, T>,
    bytes: Vec<u8>,
    /// Bytes that the CPU wrote, and that may not be in memory.
    unclean: Vec<bool>,
    /// What a device wrote, and the CPU may not see.
    untold: Vec<Range<usize>>,
}

/// What happens to a buffer.
#[derive(Clone, Copy, Debug)]
enum Op {
    CpuReads,
    CpuWrites,
    DeviceReads,
    /// What was not written since it was mapped, without a sync.
    DeviceReadsAtOnce,
    DeviceWrites,
    DeviceWritesAfterTheGuard,
    SyncBesideAWrite,
    Evict,
    RefusedEvict,
    Restore,
    Populate,
    Discard,
    Purge,
}

/// As often as they are in here.
const OPS: [Op; 22] = [
    Op::CpuReads,
    Op::CpuReads,
    Op::CpuReads,
    Op::CpuWrites,
    Op::CpuWrites,
    Op::CpuWrites,
    Op::DeviceReads,
    Op::DeviceReads,
    Op::DeviceReadsAtOnce,
    Op::DeviceReadsAtOnce,
    Op::DeviceWrites,
    Op::DeviceWrites,
    Op::DeviceWritesAfterTheGuard,
    Op::DeviceWritesAfterTheGuard,
    Op::SyncBesideAWrite,
    Op::Evict,
    Op::Evict,
    Op::RefusedEvict,
    Op::Restore,
    Op::Populate,
    Op::Discard,
    Op::Purge,
];

impl<'h, 'w, T: Slots<Platform = Plat<'w>>> Driver<'h, 'w, T> {
    fn new(buffer: Buffer<&'h Pooled<'w>, T>) -> Self {
        Driver { buffer, bytes: vec![0; BYTES], unclean: vec![false; BYTES], untold: Vec::new() }
    }

    fn step(&mut self, op: Op, rig: &Rig, rng: &mut Rng) -> Found {
        let device = rig.machine.device();
        let range = some_bytes(rng);
        match op {
            Op::CpuReads => self.cpu_reads(range),
            Op::CpuWrites => self.cpu_writes(range, rng),
            Op::DeviceReads => self.device_reads(&device, range),
            Op::DeviceReadsAtOnce if !self.unclean[range.clone()].contains(&true) => {
                self.compare_memory(&device, range)
            }
            Op::DeviceReadsAtOnce => Ok(()),
            Op::DeviceWrites => self.device_writes(&device, range, rng),
            Op::DeviceWritesAfterTheGuard => self.device_writes_late(&device, range, rng),
            Op::SyncBesideAWrite => self.sync_beside_a_write(range, rng),
            Op::Evict => {
                self.evict(rng);
                Ok(())
            }
            Op::RefusedEvict => {
                self.evict_refused(rig, rng);
                Ok(())
            }
            Op::Restore => {
                assert_eq!(self.buffer.restore(pages(1 + rng.below(10)), CX).why, None);
                Ok(())
            }
            Op::Populate => {
                assert_eq!(self.buffer.populate(pages(1 + rng.below(10)), CX).why, None);
                Ok(())
            }
            Op::Discard => {
                self.buffer.discard_copies().unwrap();
                Ok(())
            }
            Op::Purge => {
                self.buffer.purge(CX).unwrap();
                self.bytes.fill(0);
                self.synced();
                Ok(())
            }
        }
    }

    /// All of it was unmapped: each sees what the other wrote.
    fn synced(&mut self) {
        self.unclean.fill(false);
        self.untold.clear();
    }

    fn cpu_reads(&mut self, range: Range<usize>) -> Found {
        let guard = self.buffer.read().unwrap();
        for told in self.untold.drain(..) {
            guard.sync_for_cpu(told);
        }
        let mut seen = vec![0; range.len()];
        assert_eq!(guard.read_at(range.start, &mut seen), range.len());
        same(&seen, &self.bytes[range], "the CPU")
    }

    fn cpu_writes(&mut self, range: Range<usize>, rng: &mut Rng) -> Found {
        let new = random(rng, range.len());
        let mut guard = self.buffer.write().unwrap();
        for told in self.untold.drain(..) {
            guard.sync_for_cpu(told);
        }
        assert_eq!(guard.write_at(range.start, &new), range.len());
        self.bytes[range.clone()].copy_from_slice(&new);
        self.unclean[range].fill(true);
        Ok(())
    }

    /// The CPU writes to a line of which other bytes are synced after it: that costs nothing of what it wrote.
    fn sync_beside_a_write(&mut self, range: Range<usize>, rng: &mut Rng) -> Found {
        self.cpu_reads(range.clone())?; // no device has written
        self.clean(range.clone());
        let beside = range.end..BYTES.min(range.end + 1 + rng.below(8));
        self.cpu_writes(beside.clone(), rng)?;
        assert_eq!(self.buffer.read().unwrap().sync_for_cpu(range.clone()), range.len());
        self.cpu_reads(range.start..beside.end)
    }

    /// What the CPU wrote is in memory.
    fn clean(&mut self, range: Range<usize>) {
        assert_eq!(self.buffer.read().unwrap().sync_for_device(range.clone()), range.len());
        self.unclean[range].fill(false);
    }

    fn device_reads(&mut self, device: &Device, range: Range<usize>) -> Found {
        self.clean(range.clone());
        self.compare_memory(device, range)
    }

    fn compare_memory(&self, device: &Device, range: Range<usize>) -> Found {
        let guard = self.buffer.read().unwrap();
        let list: Vec<_> = guard.segments().collect();
        if list.is_empty() {
            return Ok(()); // no device uses this one
        }
        let mut first = [0];
        device.read(dma_address(&guard, range.start).unwrap(), &mut first);
        same(&first, &self.bytes[range.start..][..1], "a device that was told one address")?;
        same(&device.gather(&list, range.clone()), &self.bytes[range], "the device")
    }

    fn device_writes(&mut self, device: &Device, range: Range<usize>, rng: &mut Rng) -> Found {
        let guard = self.buffer.write().unwrap();
        let list: Vec<_> = guard.segments().collect();
        if list.is_empty() {
            return Ok(());
        }
        let new = random(rng, range.len());
        guard.sync_for_device(range.clone());
        device.scatter(&list, range.start, &new);
        guard.sync_for_cpu(range.clone());
        drop(guard);
        self.bytes[range.clone()].copy_from_slice(&new);
        self.unclean[range.clone()].fill(false);
        self.cpu_reads(range)
    }

    fn device_writes_late(&mut self, device: &Device, range: Range<usize>, rng: &mut Rng) -> Found {
        let guard = self.buffer.write().unwrap();
        let list: Vec<_> = guard.segments().collect();
        guard.sync_for_device(range.clone());
        drop(guard);
        if list.is_empty() {
            return Ok(());
        }
        let new = random(rng, range.len());
        device.scatter(&list, range.start, &new);
        self.bytes[range.clone()].copy_from_slice(&new);
        self.unclean[range.clone()].fill(false);
        self.untold.push(range.clone());
        if rng.below(2) == 0 {
            return Ok(());
        }
        self.evict(rng); // before a sync for the CPU
        self.cpu_reads(range)
    }

    fn evict(&mut self, rng: &mut Rng) {
        let how = METHODS[rng.below(METHODS.len())];
        let budget = if rng.below(2) == 0 { ALL } else { pages(1 + rng.below(8)) };
        self.buffer.evict(budget, how, CX).unwrap();
        if self.buffer.residency().unwrap().resident == NONE {
            self.synced();
        }
    }

    fn evict_refused(&mut self, rig: &Rig, rng: &mut Rng) {
        let modes = MODES.map(Refuse::ModeTo);
        rig.machine.refuse([Refuse::Map, Refuse::Nothing, modes[0], modes[1], modes[2]][rng.below(5)]);
        let full = Some(StoreError::Full);
        rig.store.answer(Script { transfer: full, save: full, ..Script::default() });
        self.evict(rng); // what is clean leaves nevertheless
        rig.store.answer(Script::default());
        rig.machine.refuse(Refuse::Nothing);
    }
}

fn some_bytes(rng: &mut Rng) -> Range<usize> {
    let start = rng.below(BYTES);
    match rng.below(3) {
        0 => start..start + 1 + rng.below((BYTES - start).min(2 * LINE)),
        1 => start..start + 1 + rng.below(BYTES - start),
        _ => 0..BYTES,
    }
}

fn random(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next() as u8).collect()
}

fn same(seen: &[u8], written: &[u8], who: &str) -> Found {
    match seen.iter().zip(written).position(|(seen, written)| seen != written) {
        None => Ok(()),
        Some(at) => Err(format!("{who} sees {} for {}, {at} bytes on", seen[at], written[at])),
    }
}

/// A buffer in each mode that a device uses, and two that none does, of blocks as they come.
fn run(seed: u64, forgotten: Forget) -> Found {
    let rig = Rig::new(Adversary::of(seed));
    let mut rng = Rng::new(seed);
    let hogged = leave(rig.near, (0..SOURCE).filter(|n| n % 11 != 10)); // no block is larger than it must be
    rig.machine.forget(forgotten);
    let found = rig.run(|home| {
        let mut all = [arrays(), arrays(), arrays()];
        let mut drivers: Vec<_> = all
            .iter_mut()
            .zip(MODES)
            .map(|(arrays, mode)| Driver::new(shared(home, arrays).with_mode(mode)))
            .collect();
        let mut slots = [const { [const { Slot::EMPTY }; 8] }; 2];
        let mut private: Vec<_> = slots
            .iter_mut()
            .zip([Caching::WriteBack, Caching::Uncached])
            .map(|(slots, mode)| Driver::new(Buffer::with_slots(home, slots, Order::PAGE).with_mode(mode)))
            .collect();
        let found = (0..STEPS).try_for_each(|step| {
            let op = OPS[rng.below(OPS.len())];
            let n = rng.below(5);
            let found = match drivers.get_mut(n) {
                Some(driver) => driver.step(op, &rig, &mut rng),
                None => private[n - 3].step(op, &rig, &mut rng),
            };
            rig.write_out(home, [By::None, By::None, By::Cpu, By::Engine][rng.below(4)]);
            found.map_err(|what| format!("seed {seed}, step {step}: buffer {n}: {op:?}: {what}"))
        });
        found.and_then(|()| {
            private.iter_mut().try_for_each(|driver| driver.cpu_reads(0..BYTES))?;
            drivers.iter_mut().try_for_each(|driver| {
                driver.cpu_reads(0..BYTES)?;
                driver.device_reads(&rig.machine.device(), 0..BYTES)
            })
        })
    });
    give_back(rig.near, hogged);
    found
}

/// Rule: whatever is evicted and restored in whatever order, each sees what the other wrote, if the drivers say what they
/// have to.
#[test]
fn each_sees_what_the_other_wrote() {
    for seed in 0..6 {
        run(seed, Forget::Nothing).unwrap();
    }
}

/// Rule: with a duty left out that is found, by one of a few seeds.
#[test]
fn a_duty_that_is_left_out_is_found() {
    for duty in Forget::ALL {
        assert!((0..4).any(|seed| run(seed, duty).is_err()), "{duty:?} is not missed");
    }
}
