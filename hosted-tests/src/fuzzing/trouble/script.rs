//! Which call of an operation goes wrong, and how.

use arbitrary::Arbitrary;
use forebay::{OwnedBlock, Pages};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::resume_unwind;

/// Calls of ports and blocks in one operation, at most. An operation with more of them does not end. (The longest that ends
/// tries something once for each entry of the index.)
const CALLS: u32 = 400_000;

/// What a panic on purpose carries.
pub(super) struct OnPurpose;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
pub(super) enum Trouble {
    /// It panics, and did nothing.
    PanicBefore,
    /// It panics after it did what it was to do.
    PanicAfter,
    /// What it says or does is not so. The number chooses what it says.
    Lie(u8),
}

/// Who calls a block at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Caller {
    Forebay,
    /// A store. A block lies to it about bytes only, as a store can count no better than its blocks do.
    Store,
    /// The oracle, or a source. Nothing goes wrong there.
    Oracle,
}

/// The one script of a machine: all ports and blocks ask it.
pub(super) struct Script {
    /// This number of calls goes well, and the next one does not.
    due: Cell<Option<(u8, Trouble)>>,
    caller: Cell<Caller>,
    calls: Cell<u32>,
    fired: Cell<bool>,
    /// Frames of blocks that were dropped: nothing returns them to the source.
    dropped: RefCell<BTreeSet<usize>>,
}

impl Script {
    pub(super) fn new() -> Self {
        Script {
            due: Cell::new(None),
            caller: Cell::new(Caller::Forebay),
            calls: Cell::new(0),
            fired: Cell::new(false),
            dropped: RefCell::default(),
        }
    }

    /// An operation begins, in which a call goes wrong, or none.
    pub(super) fn begin(&self, due: Option<(u8, Trouble)>) {
        self.due.set(due);
        self.caller.set(Caller::Forebay);
        self.calls.set(0);
        self.fired.set(false);
    }

    /// Whether a call of the present operation went wrong.
    pub(super) fn fired(&self) -> bool {
        self.fired.get()
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller.get()
    }

    /// Pages of the blocks that were dropped.
    pub(super) fn dropped(&self) -> Pages {
        Pages::new(self.dropped.borrow().len())
    }

    pub(super) fn note_drop<B: OwnedBlock>(&self, block: &B) {
        let first = block.pfn().0;
        self.dropped.borrow_mut().extend(first..first + block.order().pages().get());
    }

    /// Runs `f` for another caller. It is as before afterwards, also after a panic.
    pub(super) fn by<R>(&self, caller: Caller, f: impl FnOnce() -> R) -> R {
        struct Back<'s>(&'s Cell<Caller>, Caller);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.set(self.1);
            }
        }
        let _back = Back(&self.caller, self.caller.replace(caller));
        f()
    }

    /// One call: it may panic before or after `f`.
    pub(super) fn call<R>(&self, f: impl FnOnce() -> R) -> R {
        self.count();
        let panics = self.take(|trouble| !matches!(trouble, Trouble::Lie(_)));
        if panics == Some(Trouble::PanicBefore) {
            resume_unwind(Box::new(OnPurpose)); // no hook: libFuzzer's ends the process
        }
        let result = f();
        if panics == Some(Trouble::PanicAfter) {
            drop(result);
            resume_unwind(Box::new(OnPurpose));
        }
        result
    }

    /// What this call lies about, if it does.
    pub(super) fn lie(&self) -> Option<u8> {
        match self.take(|trouble| matches!(trouble, Trouble::Lie(_))) {
            Some(Trouble::Lie(what)) => Some(what),
            _ => None,
        }
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
        if self.calls.get() == CALLS {
            self.due.set(None); // so that the panic is the last
            panic!("an operation that does not end: {CALLS} calls of ports");
        }
    }

    /// The trouble of that kind, if it is this call's.
    fn take(&self, is_meant: impl FnOnce(Trouble) -> bool) -> Option<Trouble> {
        let (left, trouble) = self.due.get().filter(|(_, trouble)| is_meant(*trouble))?;
        if self.caller.get() == Caller::Oracle {
            return None;
        }
        self.due.set(left.checked_sub(1).map(|left| (left, trouble)));
        let now = left == 0;
        self.fired.set(self.fired.get() || now);
        now.then_some(trouble)
    }
}
