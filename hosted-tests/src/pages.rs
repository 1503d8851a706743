//! What Linux says of pages of this process: their frames, whether they are in memory, what they take.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;

/// What a page table says of one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// There is an entry, for a page in memory.
    pub present: bool,
    /// The physical frame; 0 if the process may not know it, which takes root.
    pub frame: u64,
}

/// Bytes of a page of the kernel.
pub fn page_size() -> usize {
    // SAFETY: it asks for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a page has a size")
}

/// The page-table entries of a range.
///
/// # Errors
/// There is no `/proc`.
pub fn entries(range: NonNull<[u8]>) -> io::Result<Vec<Entry>> {
    let first = range.cast::<u8>().addr().get() / page_size();
    let mut words = vec![0; range.len().div_ceil(page_size()) * 8];
    File::open("/proc/self/pagemap")?.read_exact_at(&mut words, first as u64 * 8)?;
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().expect("eight bytes"));
    let entry = |word: u64| Entry { present: word >> 63 == 1, frame: word & ((1 << 55) - 1) };
    Ok(words.chunks_exact(8).map(|bytes| entry(word(bytes))).collect())
}

/// How many pages of a mapped range are in memory, whether in a page table or not.
///
/// # Errors
/// The range is not mapped.
pub fn in_memory(range: NonNull<[u8]>) -> io::Result<usize> {
    let mut pages = vec![0_u8; range.len().div_ceil(page_size())];
    // SAFETY: the kernel writes a byte for each page, of which there are as many, and checks the range itself.
    match unsafe { libc::mincore(range.cast::<libc::c_void>().as_ptr(), range.len(), pages.as_mut_ptr()) } {
        0 => Ok(pages.iter().filter(|page| **page & 1 == 1).count()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What a mapping takes of the resident set, in bytes, exactly. `None` if there is no mapping that begins there.
///
/// # Errors
/// There is no `/proc`.
pub fn resident_bytes(mapping: NonNull<u8>) -> io::Result<Option<usize>> {
    let text = std::fs::read_to_string("/proc/self/smaps")?;
    let heading = format!("{:x}-", mapping.addr());
    let lines = text.lines().skip_while(|line| !line.starts_with(&heading));
    let rss = lines.skip(1).find_map(|line| line.strip_prefix("Rss:"));
    Ok(rss.and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok()).map(|kib| kib << 10))
}

/// What the whole process takes of the memory for itself, in bytes: no files, and no shmem.
///
/// # Errors
/// There is no `/proc`.
pub fn private_bytes() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let rss = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = rss.and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How many bytes of a range are locked into memory, in all mappings that lie in it. A page that `n` mappings have counts `1 / n`.
///
/// # Errors
/// There is no `/proc`.
pub fn locked_bytes(range: NonNull<[u8]>) -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/smaps")?;
    let (first, mut inside, mut sum) = (range.cast::<u8>().addr().get(), false, 0);
    for line in text.lines() {
        let start = line.split_once('-').and_then(|(start, _)| usize::from_str_radix(start, 16).ok());
        if let Some(start) = start {
            inside = (first..first + range.len()).contains(&start);
        }
        if let Some(text) = line.strip_prefix("Locked:").filter(|_| inside) {
            let kib = text.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok());
            sum += kib.unwrap_or(0) << 10;
        }
    }
    Ok(sum)
}
