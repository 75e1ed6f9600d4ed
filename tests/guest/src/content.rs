//! Bytes that neither compress nor repeat, the same on both sides, and a sum that tells them from others.

/// So many bytes, which follow from the seed.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while bytes.len() < length {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// FNV-1a over words of eight bytes, and the length. Emulated processors have long to do with one over bytes.
pub fn sum(bytes: &[u8]) -> u64 {
    let begin = 0xcbf2_9ce4_8422_2325 ^ bytes.len() as u64;
    bytes.chunks(8).fold(begin, |sum, part| {
        let mut word = [0; 8];
        word[..part.len()].copy_from_slice(part);
        (sum ^ u64::from_le_bytes(word))
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(29)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_have_another_sum() {
        let bytes = content(1, 100_003);
        assert_eq!(
            (bytes.len(), sum(&bytes)),
            (100_003, sum(&content(1, 100_003)))
        );
        assert_ne!(sum(&bytes), sum(&content(2, 100_003)));
        for at in [0, 7, 50_000, 100_002] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            assert_ne!(sum(&bytes), sum(&damaged), "{at}");
        }
        assert_ne!(sum(&bytes), sum(&bytes[1..]));
        assert_ne!(sum(&bytes[..8]), sum(&[&bytes[..8], &[0]].concat()));
    }
}
