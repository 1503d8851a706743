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

/// The functions of forebay among those, the innermost first. Closures belong to the function that they are in, and an impl for
/// a pointer or an array to the one that it passes the call on to.
fn of_forebay(names: &[String]) -> Vec<&str> {
    let is_of_forebay =
        |name: &&str| name.trim_start_matches('<').starts_with("forebay::") || name.contains(" as forebay::");
    let mut own: Vec<_> = names.iter().map(|name| name.as_str()).filter(is_of_forebay).collect();
    own.retain(|name| !name.contains("{{closure}}") && !name.starts_with("core::"));
    own.dedup_by_key(|name| name.rsplit("::").next());
    own
}

/// Rule: from `reclaim` to the function that calls `transfer` there are at most eight functions, by the way of one block and by that
/// of several.
#[test]
fn the_way_to_the_store_is_short() {
    let store = Traces { inner: far(16), seen: RefCell::default() };
    let home = Forebay::new(near(16), store);
    let one = Buffer::new(&home, order(1));
    let several = Buffer::<_, [_; 2]>::inline(&home, order(0));
    fill(&one, 1);
    fill(&several, 2);
    for (buffer, last) in [(&one as &dyn Evictable, "::write_back_one"), (&several, "::write_back")] {
        let report = home.reclaim([buffer], pages(2), Evict::TRANSFER, Context::INTERRUPT);
        assert_eq!(report.evicted.transferred, pages(2));
        let seen = home.store().seen.take();
        let [trace] = &seen[..] else { panic!("one block, one transfer: {}", seen.len()) };
        let all = names(trace);
        let own = of_forebay(&all);
        let reclaim = own.iter().position(|name| name.ends_with("::reclaim")).expect("it is on the stack");
        let own = &own[1..=reclaim]; // the first is the store's
        println!("{} functions of forebay from reclaim to transfer:", own.len());
        own.iter().rev().for_each(|name| println!("    {name}"));
        assert!(own[0].ends_with(last) && own.len() <= 8, "{own:#?}");
    }
    check(&one, 1);
    check(&several, 2);
}
