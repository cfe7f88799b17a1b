//! A number for many bytes, so that processes can compare what they see.

/// The 64-bit FNV-1a hash, with words instead of bytes, as frames are large and these programs are not optimised.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
    let (words, rest) = bytes.as_chunks::<8>();
    let hash = words.iter().fold(0xcbf2_9ce4_8422_2325, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    rest.iter().fold(hash, |hash, byte| mix(hash, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..37).collect();
        for index in 0..bytes.len() {
            let mut other = bytes.clone();
            other[index] ^= 1;
            assert_ne!(digest(&bytes), digest(&other), "byte {index}");
        }
        assert_ne!(digest(&bytes), digest(&bytes[..36]));
    }
}
