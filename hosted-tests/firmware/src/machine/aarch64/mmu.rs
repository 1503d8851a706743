//! The page tables, and the attributes of memory in them.
//!
//! Pages of 4 KiB, one to one, of the image and of two devices. The invariants that the safety comments name:
//!
//! - ONE TO ONE: what is mapped has its physical address, and tables lie in `.bss`, which is always mapped.
//! - ATOMIC: a table is an array of atomic words, so an entry may be read while another core writes it.
//! - EXCLUSIVE: those bytes whose attribute changes are borrowed exclusively: while they are not mapped, they are not used.

use super::maintenance::{Operation, clean_and_invalidate, forget, log, refetch, wait_for_all};
use super::{Masked, PAGE};
use aarch64_cpu::asm::barrier::{SY, isb};
use aarch64_cpu::registers::{MAIR_EL1, PAR_EL1, Readable, TTBR0_EL1};
use core::arch::{asm, global_asm};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use forebay::sync::IrqGuard;

/// The kinds of memory, as entries of a page table have them: an index into `MAIR_EL1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attribute {
    /// Device-nGnRE: each access goes to the device, in order, and none is made up.
    Device = 0,
    /// Normal, not cacheable: writes may be gathered.
    NonCacheable = 1,
    /// Normal, write-back, allocated by reads and writes.
    WriteBack = 2,
}

impl Attribute {
    const ALL: [Attribute; 3] = [Attribute::Device, Attribute::NonCacheable, Attribute::WriteBack];

    /// Its byte of `MAIR_EL1`.
    const fn encoding(self) -> u8 {
        match self {
            Attribute::Device => 0x04,
            Attribute::NonCacheable => 0x44,
            Attribute::WriteBack => 0xff,
        }
    }

    fn decode(encoding: u8) -> Option<Attribute> {
        Attribute::ALL.into_iter().find(|attribute| attribute.encoding() == encoding)
    }

    /// Its bits of an entry.
    const fn bits(self) -> u64 {
        (self as u64) << ATTRIBUTE_SHIFT
    }
}

const MAIR: u64 = {
    let (device, non_cacheable, write_back) =
        (Attribute::Device, Attribute::NonCacheable, Attribute::WriteBack);
    (device.encoding() as u64) << (8 * device as u64)
        | (non_cacheable.encoding() as u64) << (8 * non_cacheable as u64)
        | (write_back.encoding() as u64) << (8 * write_back as u64)
};
/// 4 GiB of addresses by `TTBR0_EL1` in pages of 4 KiB, from a table of level 1; walks are cached and inner shareable; nothing
/// by `TTBR1_EL1`; physical addresses of 36 bits.
const TCR: u64 = 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 32;
/// The bits that are always set, MMU, caches, and checks that the stack pointer and all accesses are aligned: blocks may be in
/// device memory, where no others are permitted. (The target's code makes none: `strict-align`.)
const SCTLR: u64 = 0x30d0_0800 | 1 << 12 | 1 << 3 | 1 << 2 | 1 << 1 | 1;

const VALID: u64 = 1;
/// Of an entry that is not a large page: the next table, or a page of level 3.
const TABLE: u64 = 3;
const ATTRIBUTE_SHIFT: u32 = 2;
const ATTRIBUTE_MASK: u64 = 7 << ATTRIBUTE_SHIFT;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NO_EXECUTE: u64 = 3 << 53;
const ADDRESS_MASK: u64 = 0xffff_ffff_f000;

const NORMAL: u64 = TABLE | Attribute::WriteBack.bits() | INNER_SHAREABLE | ACCESSED;
const DEVICE: u64 = VALID | Attribute::Device.bits() | ACCESSED | NO_EXECUTE;

const ENTRIES: usize = 512;
const LARGE: usize = PAGE * ENTRIES;

#[repr(C, align(4096))]
struct Table([AtomicU64; ENTRIES]);

impl Table {
    const EMPTY: Table = Table([const { AtomicU64::new(0) }; ENTRIES]);

    fn set(&self, index: usize, entry: u64) {
        self.0[index].store(entry, Ordering::Relaxed);
    }

    fn address(&self) -> u64 {
        ptr::from_ref(self).expose_provenance() as u64
    }
}

/// Level 1: a GiB each.
static ROOT: Table = Table::EMPTY;
/// Level 2: 2 MiB each, of the first GiB (devices) and of the second (RAM).
static DEVICES: Table = Table::EMPTY;
static RAM: Table = Table::EMPTY;
/// Level 3, of the first 16 MiB of RAM.
static PAGES: [Table; 8] = [Table::EMPTY; 8];

const RAM_START: usize = 0x4000_0000;
/// The interrupt controller, and the serial port.
const DEVICE_ADDRESSES: [usize; 2] = [0x0800_0000, 0x0900_0000];
/// As in the linker script: a guard and a stack.
const STACK: usize = 0x20000;

unsafe extern "C" {
    // From the linker script, named for their addresses alone.
    safe static __text_start: [u8; 0];
    safe static __rodata_start: [u8; 0];
    safe static __data_start: [u8; 0];
    safe static __bss_end: [u8; 0];
    safe static __stacks: [u8; 0];
    safe static __stacks_end: [u8; 0];
}

// Needs no stack, and reads only constants next to its code: the second core calls it before its caches are on.
global_asm!(
    r#"
.pushsection .text.boot, "ax"
mmu_on:
    ldr  x9, ={mair}
    msr  mair_el1, x9
    ldr  x9, ={tcr}
    msr  tcr_el1, x9
    ldr  x9, ={root}
    msr  ttbr0_el1, x9
    isb
    tlbi vmalle1
    dsb  nsh
    isb
    ldr  x9, ={sctlr}
    msr  sctlr_el1, x9
    isb
    ret
.popsection
"#,
    mair = const MAIR,
    tcr = const TCR,
    root = sym ROOT,
    sctlr = const SCTLR,
);

/// Makes the tables, and turns this core's MMU and caches on.
pub fn init() {
    ROOT.set(0, DEVICES.address() | TABLE);
    ROOT.set(RAM_START >> 30, RAM.address() | TABLE);
    for at in DEVICE_ADDRESSES {
        DEVICES.set(at / LARGE, at as u64 | DEVICE);
    }
    for (index, table) in PAGES.iter().enumerate() {
        RAM.set(index, table.address() | TABLE);
    }
    let [text, rodata, data, bss_end, stacks, end] =
        [&__text_start, &__rodata_start, &__data_start, &__bss_end, &__stacks, &__stacks_end]
            .map(|s| s.as_ptr().addr());
    map(text..rodata, NORMAL | READ_ONLY);
    map(rodata..data, NORMAL | READ_ONLY | NO_EXECUTE);
    map(data..bss_end, NORMAL | NO_EXECUTE);
    for stack in (stacks..end).step_by(STACK) {
        map(stack + PAGE..stack + STACK, NORMAL | NO_EXECUTE);
    }
    // SAFETY: all that the image is made of is mapped as it is used, ONE TO ONE, so the next instruction and the stack are
    // where they were. Caches hold nothing yet: those of a Cortex-A53 are invalidated at reset. The barrier completes the
    // tables.
    unsafe { asm!("dsb sy", "bl mmu_on", out("x9") _, out("x30") _, options(nostack)) }
}

fn map(addresses: Range<usize>, bits: u64) {
    for at in addresses.step_by(PAGE) {
        let index = at - RAM_START;
        PAGES[index / LARGE].set(index / PAGE % ENTRIES, at as u64 | bits);
    }
}

/// The entry of level 3 for that address, as the MMU finds it: from `TTBR0_EL1` down. `None` if no table reaches it.
fn entry(address: usize) -> Option<&'static AtomicU64> {
    let mut table = TTBR0_EL1.get();
    for level in 1..=3 {
        let index = address >> (39 - 9 * level) & (ENTRIES - 1);
        let at = (table & ADDRESS_MASK) as usize + index * size_of::<AtomicU64>();
        // SAFETY: `table` is the address of a table, by the register or by an entry that says so; tables are ONE TO ONE,
        // ATOMIC, and there for ever.
        let entry = unsafe { &*ptr::with_exposed_provenance::<AtomicU64>(at) };
        table = entry.load(Ordering::Relaxed);
        match (level, table & TABLE) {
            (3, _) => return Some(entry),
            (_, TABLE) => {}
            _ => return None,
        }
    }
    None
}

fn pages(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let Range { start, end } = bytes.as_ptr_range();
    (start.addr()..end.addr()).step_by(PAGE)
}

/// Gives these whole pages another attribute. Nothing may touch them before [`complete_attributes`] ran; then what was
/// written to them is read again.
///
/// The order is the architecture's: clean and invalidate the lines, break (unmap, forget, wait), make. That it cleans and
/// invalidates on the way back too drops a line that a core fetched between the first two.
///
/// # Panics
///
/// If they are no whole pages, or not of the image's.
pub fn set_attribute(block: &mut [u8], to: Attribute) {
    assert!(
        (block.as_ptr().addr() | block.len()).is_multiple_of(PAGE),
        "attributes are those of whole pages"
    );
    clean_and_invalidate(block);
    // What is not valid has no other meaning for the MMU, so the entry keeps what it will be.
    change(block, Operation::Unmap, |entry| entry & !(ATTRIBUTE_MASK | VALID) | to.bits());
    wait_for_all();
    pages(block).for_each(forget);
    wait_for_all();
    change(block, Operation::Map, |entry| entry | VALID);
}

/// Stores what `to` makes of the entry of each page. By EXCLUSIVE nothing else changes one of them.
fn change(block: &mut [u8], operation: fn(usize) -> Operation, to: impl Fn(u64) -> u64) {
    for page in pages(block) {
        let entry = entry(page).expect("a block is mapped");
        entry.store(to(entry.load(Ordering::Relaxed)), Ordering::Relaxed);
        log(operation(page));
    }
}

/// Completes what this core did by [`set_attribute`]: the pages are there, for all cores, as they are meant to be.
pub fn complete_attributes() {
    wait_for_all();
    refetch();
}

/// The attribute of these bytes, as the page tables say it. `None` if it is not the same everywhere, or nothing is mapped.
pub fn in_tables(bytes: &[u8]) -> Option<Attribute> {
    common(bytes, |page| {
        let entry = entry(page)?.load(Ordering::Relaxed);
        let index = (entry & ATTRIBUTE_MASK) >> ATTRIBUTE_SHIFT;
        (entry & TABLE == TABLE).then_some((MAIR_EL1.get() >> (8 * index)) as u8)
    })
}

/// The attribute of these bytes, as the MMU answers when it is asked for a translation (`at s1e1r`). `None` as above.
pub fn translated(bytes: &[u8]) -> Option<Attribute> {
    common(bytes, |page| {
        const FAILED: u64 = 1;
        let result = Masked::with(|| {
            // SAFETY: it translates an address, accesses nothing there, and leaves the answer in a register.
            unsafe { asm!("at s1e1r, {}", in(reg) page, options(nostack, preserves_flags)) }
            isb(SY);
            PAR_EL1.get()
        });
        (result & FAILED == 0).then_some((result >> 56) as u8)
    })
}

/// What all pages of these bytes have in common.
fn common(bytes: &[u8], encoding: impl Fn(usize) -> Option<u8>) -> Option<Attribute> {
    let mut all = pages(bytes).map(encoding);
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(())?;
    Attribute::decode(first)
}
