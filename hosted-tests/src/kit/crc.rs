//! A checksum for regions.

use forebay_backends::Checksum;

/// CRC-32 (IEEE 802.3), bit by bit.
#[derive(Debug)]
pub struct Crc32;

impl Checksum for Crc32 {
    fn update(sum: u32, bytes: &[u8]) -> u32 {
        let bit = |sum: u32, _| if sum & 1 > 0 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
        !bytes.iter().fold(!sum, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), bit))
    }
}
