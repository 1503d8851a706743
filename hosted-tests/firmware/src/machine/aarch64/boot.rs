//! Start-up of both cores.
//!
//! QEMU enters `_start` on one core at EL1, with MMU, caches and interrupts off; the other core sleeps in the firmware
//! (PSCI) until [`start_second`]. The program runs on `SP_EL0` and exceptions on `SP_EL1`, so a handler has a stack
//! even when the program ran over its own.

use super::{RawMutex, interrupts, mmu};
use aarch64_cpu::asm::wfi;
use aarch64_cpu::registers::{MPIDR_EL1, Readable};
use core::arch::{asm, global_asm};
use forebay::sync::Mutex;

global_asm!(
    r#"
.pushsection .text.boot, "ax"
.macro begin_core stack
    msr  daifset, #15
    mov  x9, #(3 << 20)             // FP and SIMD registers do not trap
    msr  cpacr_el1, x9
    ldr  x9, =vectors
    msr  vbar_el1, x9
    isb
    ldr  x9, =__stacks + (\stack + 2) * 0x20000
    msr  spsel, #1
    mov  sp, x9
    ldr  x9, =__stacks + (\stack + 1) * 0x20000
    msr  spsel, #0
    mov  sp, x9
    mov  x29, xzr
.endm

.global _start
_start:
    begin_core 0
    ldr  x0, =__bss_start
    ldr  x1, =__bss_end
2:  cmp  x0, x1
    b.hs 3f
    stp  xzr, xzr, [x0], #16
    b    2b
3:  bl   {main}
    brk  #0

// Only what is never written (code, and the constants next to it) is read before the MMU is on: without it this core goes
// past the other's caches.
start_second:
    begin_core 2
    bl   mmu_on
    bl   {second}
    brk  #0
.popsection
"#,
    main = sym crate::rust_main,
    second = sym second,
);

unsafe extern "C" {
    // Code, named for its address alone.
    #[link_name = "start_second"]
    safe static START_SECOND: [u8; 0];
}

/// What the second core runs.
static WORK: Mutex<RawMutex, Option<fn()>> = Mutex::new(None);

/// Sets up this core's MMU and its interrupts, none of which has a source yet. No lock is taken before: without caches
/// exclusive accesses need not work.
pub fn init() {
    mmu::init();
    interrupts::init();
}

/// Which of the two cores this is: 0 or 1.
pub fn core_number() -> usize {
    MPIDR_EL1.read(MPIDR_EL1::Aff0) as usize
}

/// Lets the second core run `work`, once; it sleeps for good afterwards. Whether it was started: a core that runs already
/// is not.
pub fn start_second(work: fn()) -> bool {
    const CPU_ON: u64 = 0xc400_0003;
    WORK.lock(|place| *place = Some(work));
    let status: i64;
    // SAFETY: the call into the firmware keeps all but x0 to x17 (SMC calling convention). It starts a core that has
    // stacks of its own at `start_second`, and that sees `WORK`, written before the call (the barrier), once it has turned
    // its caches on.
    unsafe {
        asm!(
            "dsb ish",
            "hvc #0",
            inout("x0") CPU_ON => status,
            in("x1") 1_u64, // the core's affinity
            in("x2") (&raw const START_SECOND).addr(),
            in("x3") 0_u64,
            clobber_abi("C"),
        )
    }
    status == 0
}

/// Where the second core arrives: its MMU is on.
extern "C" fn second() -> ! {
    interrupts::init();
    if let Some(work) = WORK.lock(Option::take) {
        work();
    }
    interrupts::disable_interrupts();
    loop {
        wfi();
    }
}
