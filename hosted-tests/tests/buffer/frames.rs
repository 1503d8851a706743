//! How deep the stack is between a reclaim and the store.

use forebay_backends::RamBlock;
use hosted_tests::kit::*;
use std::backtrace::Backtrace;
use std::cell::RefCell;

/// A store that takes down its callers at each transfer.
struct Traces {
    inner: Far,
    seen: RefCell<Vec<Backtrace>>,
}

impl BackingStore<RamBlock<PAGE>> for Traces {
    fn ids(&self) -> StoreIds {
        <Far as BackingStore<RamBlock<PAGE>>>::ids(&self.inner)
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    #[inline(never)]
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        payer: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        self.seen.borrow_mut().push(Backtrace::force_capture());
        self.inner.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
        self.inner.take_back(handle, cx)
    }
}

/// The names of the functions on the stack, the innermost first.
fn names(trace: &Backtrace) -> Vec<String> {
    let text = trace.to_string();
    let frame = |line: &str| {
        let (number, name) = line.trim_start().split_once(": ")?;
        number.parse::<usize>().is_ok().then(|| name.to_owned())
    };
    text.lines().filter_map(frame).collect()
}

/// Whether a function is one of forebay; closures belong to the function that they are in.
fn is_of_forebay(name: &str) -> bool {
    (name.starts_with("forebay::") || name.starts_with("<forebay::")) && !name.contains("{{closure}}")
}

/// Rule: from `reclaim` to the function that calls `transfer` there are at most eight functions.
#[test]
fn the_way_to_the_store_is_short() {
    let store = Traces { inner: far(16), seen: RefCell::default() };
    let home = Forebay::new(near(16), store);
    let buffers = [Buffer::new(&home, order(1))];
    fill(&buffers[0], 1);
    let report = home.reclaim(&buffers, pages(2), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!(report.evicted.transferred, pages(2));
    let seen = home.store().seen.take();
    let [trace] = &seen[..] else { panic!("one buffer, one transfer: {}", seen.len()) };
    let all = names(trace);
    let between: Vec<_> = {
        let from_store = all.iter().skip_while(|name| !is_of_forebay(name));
        let mut after_reclaim = false;
        let until_reclaim = from_store.take_while(|name| {
            let is_over = after_reclaim;
            after_reclaim = name.ends_with("::reclaim");
            !is_over
        });
        until_reclaim.collect()
    };
    let (of_forebay, others): (Vec<&str>, Vec<&str>) =
        between.iter().map(|name| name.as_str()).partition(|name| is_of_forebay(name));
    println!("{} functions of forebay from reclaim to transfer:", of_forebay.len());
    of_forebay.iter().rev().for_each(|name| println!("    {name}"));
    println!("{} others between:", others.len());
    others.iter().rev().for_each(|name| println!("    {name}"));
    assert!(between.last().is_some_and(|name| name.ends_with("::reclaim")), "{all:#?}");
    assert!(of_forebay.len() <= 8, "{of_forebay:#?}");
    check(&buffers[0], 1);
}
