//! A display controller reads a tile where it lies: the hooks of the platform keep that tile resident. Buffers of several types
//! are reclaimed together.

use super::home::{self, HOME, Home, Machine, TILE, TILE_PAGES, TILES, Tile};
use super::{Failure, check, pattern};
use crate::machine::{PAGE, RawMutex};
use core::fmt::Write;
use forebay::port::EvictHooks;
use forebay::stats::RefusalReason;
use forebay::sync::Mutex;
use forebay::{Buffer, BufferId, Busy, Context, Evict, Order, Pages, Slot};
use forebay_backends::RamBlock;

/// What the controller shows, and what the hooks were told of buffers with a number.
pub struct Screen(Mutex<RawMutex, State>);

#[derive(Clone, Copy)]
struct State {
    shown: Option<BufferId>,
    evicted: usize,
    /// The pages of those.
    pages: Pages,
    restored: usize,
}

impl Screen {
    pub const fn new() -> Screen {
        Screen(Mutex::new(State { shown: None, evicted: 0, pages: Pages::ZERO, restored: 0 }))
    }

    fn show(&self, id: Option<BufferId>) {
        self.0.lock(|state| state.shown = id);
    }
}

impl EvictHooks<RamBlock<PAGE>> for Screen {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        let pages = blocks.map(|block| Pages::new(block.len() / PAGE)).sum::<Pages>();
        self.0.lock(|state| {
            if state.shown == Some(id) {
                return Err(Busy);
            }
            if id != BufferId::default() {
                state.evicted += 1;
                state.pages += pages;
            }
            Ok(())
        })
    }

    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        self.0.lock(|state| state.restored += usize::from(id != BufferId::default()));
        Ok(())
    }
}

const ID: BufferId = BufferId(1);
static SHOWN: Tile = Tile::new(&HOME, TILE).with_id(ID);
/// As large as a tile, in pieces of a page or more.
static PIECES: Buffer<Home, [Slot<Machine>; TILE_PAGES.get()]> =
    Buffer::inline(&HOME, Order::PAGE).with_id(BufferId(2));

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let screen = &HOME.platform().1;
    let mut page = [0; PAGE];
    home::fill(&TILES[..1], 9000)?;
    pattern::fill(&mut SHOWN.write()?, 9100);
    pattern::fill(&mut page, 9200);
    check(PIECES.write()?.write_at(PAGE, &page) == PAGE, "a page was not written")?;

    screen.show(Some(ID));
    let refused = SHOWN.evict(Pages::MAX, Evict::TRANSFER, Context::THREAD)?;
    let all = (&TILES[..1], &[&SHOWN], &[&PIECES]);
    let others = HOME.reclaim(all, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT).evicted;
    let shown = SHOWN.residency()?.resident;
    screen.show(None);
    HOME.settle(Pages::MAX, Context::THREAD); // on a small machine no more may wait
    let then = HOME.reclaim(all, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT).evicted;

    check(PIECES.read()?.read_at(PAGE, &mut page) == PAGE, "a page was not read")?;
    let wrong =
        home::wrong(&TILES[..1], 9000)? + pattern::wrong(&SHOWN.read()?, 9100) + pattern::wrong(&page, 9200);
    let State { evicted, pages, restored, .. } = screen.0.lock(|state| *state);
    SHOWN.purge(Context::THREAD)?;
    PIECES.purge(Context::THREAD)?;
    write!(
        out,
        "{} pages transferred while {shown} were shown, {} then; {wrong} wrong bytes",
        others.transferred, then.transferred
    )?;
    check(refused.why == Some(RefusalReason::Hook), "what is shown was not refused by the hook")?;
    check(shown == TILE_PAGES && then.transferred == TILE_PAGES, "what is shown left with the others")?;
    check(others.transferred == TILE_PAGES + TILE_PAGES, "not all of the others left")?;
    check(
        (evicted, restored) == (2, 2) && pages == TILE_PAGES + TILE_PAGES,
        "the hooks were told something else",
    )?;
    check(wrong == 0, "bytes are wrong")
}
