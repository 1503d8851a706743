//! Checksums of what a region stores.

use super::room::{Memory, Room};
use super::store::Region;
use forebay::{OwnedBlock, sync::RawMutex};

/// A checksum for the pages of a [`Region`], against memory that changes its bytes: external RAM at its limits, or one that lost its
/// power for a moment. A chip's CRC unit, or a table in flash; `()` keeps none, and costs nothing.
///
/// The region keeps a sum for each page beside the page's link. Sums are computed from the fast memory when contents are stored, whether the CPU
/// or a DMA controller copies them. A load compares them with the bytes that the caller gets; if they differ, it fails with
/// [`StoreError::Io`](forebay::StoreError::Io), and no byte is shown. The contents stay, and another load may read them right. If none does,
/// purge the buffer and make its contents again: nothing says that the page is broken for good, and it is used again. What is taken back
/// was never copied, so it is not compared. A clean buffer that is evicted relies on the copy that was compared when it was loaded.
///
/// Such memory is no place for the region's metadata: a changed link mixes up contents, and worse. So
/// [`Region::init_within`] and [`RamForebay::init`](crate::RamForebay::init) do not compile with a checksum: use [`Region::init`] and
/// [`init_apart`](crate::RamForebay::init_apart).
///
/// ```compile_fail
/// # use forebay::{StoreId, sync::NoopRawMutex};
/// # use forebay_backends::{Checksum, RamBlock, Region};
/// # struct Sum;
/// # impl Checksum for Sum { fn update(sum: u32, _: &[u8]) -> u32 { sum } }
/// let region = Region::<NoopRawMutex, RamBlock<512>, 512, 16, Sum>::new(StoreId::DEFAULT);
/// region.init_within(vec![0; 8192].leak()).expect("whole pages"); // its metadata would lie in this memory
/// ```
///
/// ```
/// use forebay::sync::NoopRawMutex;
/// use forebay_backends::{Checksum, RamBlock, Region};
///
/// /// CRC-32, bit by bit: small and slow. A chip often has a unit for it.
/// struct Crc32;
///
/// impl Checksum for Crc32 {
///     fn update(sum: u32, bytes: &[u8]) -> u32 {
///         !bytes.iter().fold(!sum, |sum, byte| {
///             (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 > 0 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 })
///         })
///     }
/// }
///
/// type Slow = Region<NoopRawMutex, RamBlock<512>, 512, 16, Crc32>; // for `Forebay::new`, or the last parameter of a `RamForebay`
/// # assert_eq!(Crc32::update(0, b"123456789"), 0xcbf4_3926);
/// # assert_eq!(Crc32::update(Crc32::update(0, b"1234"), b"56789"), 0xcbf4_3926);
/// # assert_eq!(Slow::metadata_words(2048), 8);
/// ```
pub trait Checksum {
    /// Whether sums are kept and compared.
    const KEPT: bool = true;

    /// The sum of the bytes before, which is `sum` (0 for none), and of `bytes` behind them.
    ///
    /// # Context
    /// Wherever contents are stored, loaded or finished, outside of locks: perhaps on several cores at once, or in an interrupt during
    /// another call. A CRC unit is shared by all of them, so guard it by a critical section for the call; `sum` has all that one
    /// call needs of the last. Linear.
    fn update(sum: u32, bytes: &[u8]) -> u32;
}

/// No sums are kept.
impl Checksum for () {
    const KEPT: bool = false;
    fn update(sum: u32, _: &[u8]) -> u32 {
        sum
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Region<L, B, PAGE, N, C> {
    /// Keeps the sums of a block's first bytes, which are stored in all of this room. Returns whether the block gave them.
    pub(super) fn keep_sums(&self, room: &Room<PAGE>, block: &B) -> bool {
        self.all_sums(room, block, 0, |memory, page, sum| memory.sum(page).map(|kept| *kept = sum).is_some())
    }

    /// Whether a block has, from byte `first` on, what was stored in this room.
    pub(super) fn has_sums(&self, room: &Room<PAGE>, block: &B, first: usize) -> bool {
        self.all_sums(room, block, first, |memory, page, sum| {
            memory.sum(page).is_some_and(|kept| *kept == sum)
        })
    }

    /// Whether `is_right` says so of each page of a room and the sum of the bytes that a block has for it.
    fn all_sums(
        &self,
        room: &Room<PAGE>,
        block: &B,
        first: usize,
        is_right: impl Fn(&mut Memory<PAGE>, usize, usize) -> bool,
    ) -> bool {
        if !C::KEPT {
            return true;
        }
        let mut page = room.head();
        (0..room.order().pages().get()).all(|n| {
            let Some(sum) = sum::<C, B>(block, first.saturating_add(n * PAGE)) else { return false };
            self.books.lock(|books| {
                let Some(memory) = &mut books.memory else { return false };
                let right = is_right(memory, page, sum as usize);
                page = if room.is_straight() { page + 1 } else { memory.link(page) };
                right
            })
        })
    }
}

/// The sum of a page's bytes, if the block gives them all.
fn sum<C: Checksum, B: OwnedBlock>(block: &B, at: usize) -> Option<u32> {
    let mut part = [0; 64];
    let (mut sum, mut done) = (0, 0);
    while done < B::PAGE {
        let part = part.get_mut(..(B::PAGE - done).min(64))?;
        if block.read_at(at.saturating_add(done), part) != part.len() {
            return None;
        }
        sum = C::update(sum, part);
        done += part.len();
    }
    Some(sum)
}
