//! S3-FIFO with one bit for each buffer.

use crate::port::{EvictionPolicy, Selected};
use crate::sync::{Mutex, RawMutex};
use core::fmt;

/// Victims come from the small queue if it has at least one tenth of the buffers in both queues. This is the divisor.
const SMALL: usize = 10;
/// The number of ghosts is at most half of the buffers in both queues. This is the divisor.
const GHOSTS: usize = 2;

/// Three queues (S3-FIFO: Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023). A new buffer enters the
/// *small* queue, which has about a tenth of the buffers. A buffer that was not used again is evicted from there, and its number is
/// a *ghost*. If a ghost is resident again, it enters the *main* queue. A buffer that was used while in the small queue enters the
/// main queue too. A buffer that was used while in the main queue moves to the newest end of it. So a walk over all buffers, which
/// uses each of them once, takes about a tenth of the memory from the others.
///
/// The paper has two bits for the use of a buffer, and more ghosts. Here it is one bit, and half as many ghosts as buffers in the
/// queues: on the repository's traces that has more hits (`cargo run --release -- policies`).
///
/// The memory is the caller's: a [`Link`] for each number, an array for a static, or a slice. A number past its end is in no queue,
/// and its buffer is never selected.
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

/// The memory that an [`S3Fifo`] needs for one buffer: 12 bytes on machines of 32 and of 64 bits.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Link {
    older: u32,
    newer: u32,
    state: State,
    used: bool,
}

/// On some machines of 16 bits a `u32` is aligned to less than 4 bytes, and the link is shorter.
const _: () = assert!(size_of::<Link>() == 12 || align_of::<u32>() < 4);

impl Link {
    /// Of a buffer that is in no queue. All zeros.
    pub const NONE: Link = Link { older: 0, newer: 0, state: State::Out, used: false };
}

/// The queue of a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    Out = 0,
    Small = 1,
    Main = 2,
    /// It was evicted from the small queue.
    Ghost = 3,
}

/// The ends of a queue, and its length. A number here is the buffer's number plus one; 0 means that there is no buffer.
#[derive(Clone, Copy)]
struct Queue {
    oldest: u32,
    newest: u32,
    len: usize,
}

/// # Invariants
/// Each queue is a list through the links of its buffers. These buffers, and no others, have the state of the queue.
struct Queues<W> {
    links: W,
    /// By state. The first one, of [`State::Out`], is always empty.
    queues: [Queue; 4],
    /// The buffer that was selected last. If it is removed, it was evicted, and not dropped or purged.
    victim: u32,
    /// How many buffers were passed since the last one was added or removed. If that is the length of the main queue, the small
    /// queue is next.
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

    /// Moves a buffer to the newest end of a queue, and marks it as not used.
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

    /// How many buffers are in the small and in the main queue.
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
    /// The number plus one. 0, which no link has, if that is too large.
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
