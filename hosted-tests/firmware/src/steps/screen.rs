//! A display controller that reads a tile where it is: the hooks of the platform keep that tile resident. Tiles of two types
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

/// What the controller shows, and what the hooks were told.
pub struct Screen(Mutex<RawMutex, State>);

struct State {
    shown: Option<BufferId>,
    /// Buffers that were to leave, with their number of blocks, and buffers that came back. Only those with a number.
    left: (usize, usize),
    came_back: usize,
}

impl Screen {
    pub const fn new() -> Screen {
        Screen(Mutex::new(State { shown: None, left: (0, 0), came_back: 0 }))
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
        let count = blocks.count();
        self.0.lock(|state| {
            if state.shown == Some(id) {
                return Err(Busy);
            }
            if id != BufferId::default() {
                state.left = (state.left.0 + 1, state.left.1 + count);
            }
            Ok(())
        })
    }

    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        self.0.lock(|state| state.came_back += usize::from(id != BufferId::default()));
        Ok(())
    }
}

const ID: BufferId = BufferId(1);
static SHOWN: Tile = Tile::new(&HOME, TILE).with_id(ID);

/// As large as a tile, in pages.
type Scattered = Buffer<&'static Home, [Slot<Machine>; TILE_PAGES.get()]>;
static SCATTERED: Scattered = Scattered::inline(&HOME, Order::PAGE).with_id(BufferId(2));

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let screen = &HOME.platform().1;
    home::fill(&TILES[..1], 9000)?;
    pattern::fill(&mut *SHOWN.write()?, 9100);
    let mut bytes = [0; PAGE];
    pattern::fill(&mut bytes, 9200);
    check(SCATTERED.write()?.write_at(PAGE, &bytes) == PAGE, "a page was not written")?;

    screen.show(Some(ID));
    let refused = SHOWN.evict(Pages::MAX, Evict::ANY, Context::THREAD)?;
    let everything = (&TILES[..1], &[&SHOWN], &[&SCATTERED]);
    let report = HOME.reclaim(&everything, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
    let stayed = SHOWN.residency()?.resident;
    screen.show(None);
    let rest = HOME.reclaim(&everything, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);

    let mut wrong = home::wrong(&TILES[..1], 9000)? + pattern::wrong(&SHOWN.read()?, 9100);
    check(SCATTERED.read()?.read_at(PAGE, &mut bytes) == PAGE, "a page was not read")?;
    wrong += pattern::wrong(&bytes, 9200);
    let (left, came_back) = screen.0.lock(|state| (state.left, state.came_back));
    SHOWN.purge(Context::THREAD)?;
    SCATTERED.purge(Context::THREAD)?;
    write!(
        out,
        "{} pages transferred while {stayed} were shown, {} then; {wrong} wrong bytes",
        report.evicted.transferred, rest.evicted.transferred
    )?;
    check(refused.why == Some(RefusalReason::Hook), "what is shown left")?;
    check(stayed == TILE_PAGES && rest.evicted.transferred == TILE_PAGES, "what is shown left with the others")?;
    check(report.evicted.transferred == TILE_PAGES + TILE_PAGES, "the others did not leave")?;
    check(left.0 == 2 && left.1 >= 2 && came_back == 2, "the hooks were told something else")?;
    check(wrong == 0, "bytes are wrong")
}
