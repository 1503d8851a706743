//! S3-FIFO with one bit for each buffer.

use crate::port::{EvictionPolicy, Selected};
use crate::sync::{Mutex, RawMutex};
use core::fmt;

/// One in so many buffers is in the small queue before it is looked at.
const SMALL: usize = 10;
/// So many buffers that are in permit one ghost.
const GHOSTS: usize = 2;

/// Three queues (S3-FIFO: Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023). A new buffer is in the
/// *small* queue, a tenth of all. One that is not used again leaves from there, and is a *ghost*: if it comes back soon, it goes to
/// the *main* queue, as does one that was used in the small queue. In the main queue one that was used goes round once more.
/// So what is used once, by a walk over everything, costs the others a tenth of the memory.
///
/// Other than there, a buffer has one bit for its use, and half as many ghosts as buffers are in: on the repository's traces that
/// has more hits (`cargo run --release -- policies`).
///
/// The memory is the caller's: a [`Link`] for each number, an array for a static, or a slice. A number past its end is never
/// in, and its buffer is never selected.
///
/// ```
/// use forebay::reclaim::{ByPolicy, Follow, Link, S3Fifo};
/// use forebay::{*, sync::NoopRawMutex};
/// # fn f<P: Platform<RawMutex = NoopRawMutex>, S: BackingStore<P::Block>>(home: &Forebay<P, S>) {
/// let policy = S3Fifo::<NoopRawMutex, _>::new([Link::NONE; 64]);
/// let buffers: [_; 64] = std::array::from_fn(|n| {
///     Buffer::with_slots(home, Follow::new([Slot::EMPTY], &policy, n), Order::PAGE)
/// });
/// home.reclaim(ByPolicy::new(&buffers, &policy), Pages::new(4), Evict::TRANSFER, Context::INTERRUPT);
/// # }
/// ```
pub struct S3Fifo<R, W>(Mutex<R, Queues<W>>);

/// The memory that an [`S3Fifo`] needs for one buffer.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Link {
    older: u32,
    newer: u32,
    state: State,
    used: bool,
}

impl Link {
    /// Of a buffer that is not in. All zeros.
    pub const NONE: Link = Link { older: 0, newer: 0, state: State::Out, used: false };
}

/// Where a buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Out = 0,
    Small = 1,
    Main = 2,
    /// It is not in.
    Ghost = 3,
}

/// The ends of a queue, and its length. Numbers are one more than those of buffers; 0 is none.
#[derive(Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: usize,
}

/// # Invariants
/// Each queue is a list through the links of its buffers, which have its state, and of no others.
struct Queues<W> {
    links: W,
    /// By state; nothing is in the first.
    queues: [Queue; 4],
    /// The last victim. If it leaves, it was evicted.
    victim: u32,
    /// How many were passed since something came or left. Once that is all of the main queue, the small one has its turn.
    passed: usize,
}

impl<W: AsRef<[Link]> + AsMut<[Link]>> Queues<W> {
    fn link(&self, number: u32) -> Option<Link> {
        self.links.as_ref().get((number as usize).checked_sub(1)?).copied()
    }

    fn link_mut(&mut self, number: u32) -> Option<&mut Link> {
        self.links.as_mut().get_mut((number as usize).checked_sub(1)?)
    }

    fn queue(&self, state: State) -> Queue {
        let [_, small, main, ghosts] = self.queues;
        match state {
            State::Out => Queue { oldest: 0, newest: 0, len: 0 },
            State::Small => small,
            State::Main => main,
            State::Ghost => ghosts,
        }
    }

    fn queue_mut(&mut self, state: State) -> &mut Queue {
        let [out, small, main, ghosts] = &mut self.queues;
        match state {
            State::Out => out,
            State::Small => small,
            State::Main => main,
            State::Ghost => ghosts,
        }
    }

    /// Out of where it is, to the newest of another queue, not used.
    fn put(&mut self, number: u32, to: State) {
        let Some(Link { older, newer, state, .. }) = self.link(number) else { return };
        if state != State::Out {
            match self.link_mut(older) {
                Some(link) => link.newer = newer,
                None => self.queue_mut(state).oldest = newer,
            }
            match self.link_mut(newer) {
                Some(link) => link.older = older,
                None => self.queue_mut(state).newest = older,
            }
            self.queue_mut(state).len -= 1;
        }
        let mut link = Link { state: to, ..Link::NONE };
        if to != State::Out {
            let queue = self.queue_mut(to);
            link.older = core::mem::replace(&mut queue.newest, number);
            queue.len += 1;
            match self.link_mut(link.older) {
                Some(older) => older.newer = number,
                None => self.queue_mut(to).oldest = number,
            }
        }
        if let Some(own) = self.link_mut(number) {
            *own = link;
        }
    }

    /// How many buffers are in.
    fn len(&self) -> usize {
        self.queue(State::Small).len + self.queue(State::Main).len
    }

    fn add(&mut self, number: u32) {
        match self.link(number).map(|link| link.state) {
            Some(State::Out) => self.put(number, State::Small),
            Some(State::Ghost) => self.put(number, State::Main),
            _ => return,
        }
        self.passed = 0;
    }

    fn remove(&mut self, number: u32) {
        let evicted = number == self.victim;
        match self.link(number).map(|link| link.state) {
            Some(State::Small) if evicted => self.put(number, State::Ghost),
            Some(State::Small | State::Main) => self.put(number, State::Out),
            _ => return,
        }
        self.passed = 0;
        if self.queue(State::Ghost).len > self.len() / GHOSTS {
            self.put(self.queue(State::Ghost).oldest, State::Out);
        }
    }

    fn accessed(&mut self, number: u32) {
        if let Some(link) = self.link_mut(number) {
            link.used |= matches!(link.state, State::Small | State::Main);
        }
    }

    fn select(&mut self) -> Selected {
        let (small, main) = (self.queue(State::Small), self.queue(State::Main));
        let is_due = small.len * SMALL >= self.len() || self.passed >= main.len;
        let queue = if small.len > 0 && is_due { small } else { main };
        let Some(link) = self.link(queue.oldest) else { return Selected::Nothing };
        if !link.used {
            self.victim = queue.oldest;
            return Selected::Victim(queue.oldest as usize - 1);
        }
        self.passed += 1;
        self.put(queue.oldest, State::Main);
        Selected::GoesOn
    }
}

impl<R: RawMutex, W> S3Fifo<R, W> {
    /// With these links: an array, or `&mut [Link]`, all of them [`NONE`](Link::NONE). (Their `AsRef` is called under the lock.)
    pub const fn new(links: W) -> Self {
        let queue = Queue { oldest: 0, newest: 0, len: 0 };
        S3Fifo(Mutex::new(Queues { links, queues: [queue; 4], victim: 0, passed: 0 }))
    }
}

impl<R: RawMutex, W: AsRef<[Link]> + AsMut<[Link]>> S3Fifo<R, W> {
    /// The number inside. None is 0, which no link has.
    fn inside(number: usize) -> u32 {
        number.checked_add(1).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
    }
}

impl<R: RawMutex, W: AsRef<[Link]> + AsMut<[Link]>> EvictionPolicy for S3Fifo<R, W> {
    fn add(&self, number: usize) {
        self.0.lock(|queues| queues.add(Self::inside(number)));
    }
    fn remove(&self, number: usize) {
        self.0.lock(|queues| queues.remove(Self::inside(number)));
    }
    fn accessed(&self, number: usize) {
        self.0.lock(|queues| queues.accessed(Self::inside(number)));
    }
    fn select(&self) -> Selected {
        self.0.lock(Queues::select)
    }
}

impl<R, W> fmt::Debug for S3Fifo<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Fifo").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<R, W> defmt::Format for S3Fifo<R, W> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "S3Fifo");
    }
}
