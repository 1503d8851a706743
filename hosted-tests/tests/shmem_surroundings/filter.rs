//! System calls that are refused to a thread.

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::env::consts::ARCH;
use std::thread;

/// A call that ends in an error, always or with certain arguments only.
#[derive(Clone, Copy)]
pub(crate) struct Refuse {
    call: i64,
    only: [Option<Only>; 2],
    why: Errno,
}

/// An argument, the first being 0, has this value among the bits of the mask.
#[derive(Clone, Copy)]
struct Only {
    argument: u8,
    mask: u64,
    value: u64,
}

impl Refuse {
    pub(crate) const fn new(call: i64, why: Errno) -> Refuse {
        Refuse { call, only: [None; 2], why }
    }

    /// Only if that argument, an `int`, is so.
    pub(crate) const fn only(self, argument: u8, value: u64) -> Refuse {
        self.with(Only { argument, mask: u32::MAX as u64, value })
    }

    /// Only if that argument has these bits.
    pub(crate) const fn with_bits(self, argument: u8, bits: u64) -> Refuse {
        self.with(Only { argument, mask: bits, value: bits })
    }

    /// Only at that address.
    pub(crate) const fn at(self, address: usize) -> Refuse {
        self.with(Only { argument: 0, mask: u64::MAX, value: address as u64 })
    }

    /// An advice of `madvise`.
    pub(crate) const fn advice(advice: i32, why: Errno) -> Refuse {
        Refuse::new(libc::SYS_madvise, why).only(2, advice as u64)
    }

    const fn with(mut self, only: Only) -> Refuse {
        let [first, second] = &mut self.only;
        *(if first.is_none() { first } else { second }) = Some(only);
        self
    }

    fn program(self) -> BpfProgram {
        let conditions = self.only.into_iter().flatten().map(|Only { argument, mask, value }| {
            let op = SeccompCmpOp::MaskedEq(mask);
            SeccompCondition::new(argument, SeccompCmpArgLen::Qword, op, value).expect("an argument")
        });
        let conditions = Vec::from_iter(conditions);
        // No rule: always.
        let rule = (!conditions.is_empty()).then(|| SeccompRule::new(conditions).expect("conditions"));
        let rules = [(self.call, Vec::from_iter(rule))].into();
        let refused = SeccompAction::Errno(self.why.raw_os_error() as u32);
        let arch = ARCH.try_into().expect("a machine with filters");
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).expect("a filter");
        filter.try_into().expect("a program")
    }
}

/// Runs `f` in a thread to which these calls are refused. A filter lasts as long as its thread, so afterwards it is as if
/// there had been none.
pub(crate) fn refused<R: Send>(calls: &[Refuse], f: impl FnOnce() -> R + Send) -> R {
    let programs: Vec<_> = calls.iter().map(|call| call.program()).collect();
    let filtered = move || {
        for program in &programs {
            seccompiler::apply_filter(program).expect("a process may filter its own calls");
        }
        f()
    };
    thread::scope(|threads| threads.spawn(filtered).join()).unwrap_or_else(|_| panic!("see above"))
}
