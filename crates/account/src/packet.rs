//! The account packet, which a name and a password open.
//!
//! What always holds here: every length is checked before it is used, every packet has exactly one
//! encoding, and its length is a multiple of [`PAD`], so that it says little about what is inside.
//!
//! ```text
//! version        1   1, or 2 if there is a recovery key
//! kdf version    1   which cost of Argon2id the account has
//! first counter  8   u64 LE, the counter of the pointer when this password began to hold
//! home key      32
//! name           u16 LE length (bytes, at most 4096), UTF-8, as given at sign-up
//! wallet key     u16 LE length (0: none; at most 4096), UTF-8
//! settings       u16 LE count, then each: u8 length, name, u16 LE length, value (UTF-8), by ascending name
//! recovery keys  version 2 only: u8 count (1 or 2), 16 bytes each: the sheet's, and one that was replaced and may not be closed yet
//! zeros          to the next multiple of 256
//! ```

use std::collections::BTreeMap;

use safeos_record::Key;
use zeroize::Zeroizing;

use crate::{Error, RecoveryKey, Result, Secret};

/// The longest packet, in bytes, before it is sealed.
pub const PACKET_LEN_MAX: usize = 64 * 1024;
const TOO_LARGE: &str = "together they are larger than 64 KiB";
const CUT: &str = "the packet is cut short";
const PAD: usize = 256;
const VERSION: u8 = 1;
/// With recovery keys. Packets without one stay as they were, for programs that do not know them.
const VERSION_RECOVERY: u8 = 2;
/// Bytes of a settings value or the wallet key.
const VALUE_LEN_MAX: usize = 4096;

/// The account's data besides its keys. Small: all of it is fetched at every sign-in.
#[derive(Clone, Default, Debug)]
pub struct Settings {
    /// Text by name; at most 64 KiB together.
    pub values: BTreeMap<String, String>,
    /// The key of the wallet that pays for records, where they are paid for.
    pub wallet: Option<Secret>,
}

/// The recovery keys an account has.
pub struct RecoveryKeys {
    /// The one on the sheet.
    pub current: RecoveryKey,
    /// The one before, whose recovery pointer may not be closed yet.
    pub replaced: Option<RecoveryKey>,
}

impl RecoveryKeys {
    /// Whether it is one of them.
    pub fn has(&self, key: &RecoveryKey) -> bool {
        self.current == *key || self.replaced.as_ref() == Some(key)
    }
}

/// An account packet, opened.
pub struct Packet {
    /// Which version of the key derivation leads here.
    pub kdf_version: u8,
    /// The counter with which the account began at this address: 1, or more after a change of password.
    pub first_counter: u64,
    /// The master key: the home's and its history's keys derive from it.
    pub home_key: Key,
    /// The name as given at sign-up (at most 4096 bytes).
    pub name: String,
    /// The rest.
    pub settings: Settings,
    /// The keys that renew the recovery record, if there is one.
    pub recovery: Option<RecoveryKeys>,
}

impl Packet {
    /// The packet's bytes.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>> {
        // Room for the largest at once: a vector that grows would leave copies of keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(PACKET_LEN_MAX));
        let version = self.recovery.as_ref().map_or(VERSION, |_| VERSION_RECOVERY);
        out.extend_from_slice(&[version, self.kdf_version]);
        out.extend_from_slice(&self.first_counter.to_le_bytes());
        out.extend_from_slice(self.home_key.expose());
        put_long(
            &mut out,
            &self.name,
            "the account's name is longer than 4096 bytes",
        )?;
        let wallet = self.settings.wallet.as_ref().map_or("", Secret::expose);
        put_long(&mut out, wallet, "the wallet key is longer than 4096 bytes")?;
        let count = u16::try_from(self.settings.values.len())
            .map_err(|_| Error::BadSettings("there are too many"))?;
        out.extend_from_slice(&count.to_le_bytes());
        for (name, value) in &self.settings.values {
            put_short(&mut out, name, "a name is longer than 255 bytes")?;
            put_long(&mut out, value, "a value is longer than 4096 bytes")?;
        }
        if let Some(recovery) = &self.recovery {
            put(&mut out, &[1 + u8::from(recovery.replaced.is_some())])?;
            for key in [Some(&recovery.current), recovery.replaced.as_ref()]
                .into_iter()
                .flatten()
            {
                put(&mut out, key.expose())?;
            }
        }
        let padded = out.len().next_multiple_of(PAD);
        if padded > PACKET_LEN_MAX {
            return Err(Error::BadSettings(TOO_LARGE));
        }
        out.resize(padded, 0);
        Ok(out)
    }

    /// Reads a packet; the error says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > PACKET_LEN_MAX || !bytes.len().is_multiple_of(PAD) {
            return Err("the packet has a wrong length");
        }
        let mut rest = bytes;
        let version = take(&mut rest, 1)?[0];
        if version != VERSION && version != VERSION_RECOVERY {
            return Err("the packet has a version this program does not know");
        }
        let kdf_version = take(&mut rest, 1)?[0];
        let first_counter = take(&mut rest, 8)?;
        let first_counter = first_counter.try_into().map_err(|_| CUT)?;
        let mut key = Zeroizing::new([0; 32]);
        key.copy_from_slice(take(&mut rest, 32)?);
        let name = take_long(&mut rest)?.to_owned();
        let wallet = take_long(&mut rest)?;
        let wallet = (!wallet.is_empty()).then(|| Secret::new(wallet.to_owned()));
        let count = take_u16(&mut rest)?;
        let mut values = BTreeMap::new();
        for _ in 0..count {
            let name = take_short(&mut rest)?;
            let value = take_long(&mut rest)?;
            if values
                .last_key_value()
                .is_some_and(|(last, _): (&String, _)| last.as_str() >= name)
            {
                return Err("the settings are out of order");
            }
            values.insert(name.to_owned(), value.to_owned());
        }
        let recovery = (version == VERSION_RECOVERY)
            .then(|| take_recovery(&mut rest))
            .transpose()?;
        if rest.len() >= PAD || rest.iter().any(|byte| *byte != 0) {
            return Err("the packet does not end where it should");
        }
        Ok(Self {
            kdf_version,
            first_counter: u64::from_le_bytes(first_counter),
            home_key: Key::new(*key),
            name,
            settings: Settings { values, wallet },
            recovery,
        })
    }
}

fn take_recovery(rest: &mut &[u8]) -> Result<RecoveryKeys, &'static str> {
    let key = |rest: &mut &[u8]| {
        let bytes = take(rest, 16)?.try_into().map_err(|_| CUT)?;
        Ok::<_, &'static str>(RecoveryKey::new(bytes))
    };
    match take(rest, 1)?[0] {
        count @ (1 | 2) => Ok(RecoveryKeys {
            current: key(rest)?,
            replaced: (count == 2).then(|| key(rest)).transpose()?,
        }),
        _ => Err("the packet has another number of recovery keys than one or two"),
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if out.len() + bytes.len() > PACKET_LEN_MAX {
        return Err(Error::BadSettings(TOO_LARGE));
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn put_short(out: &mut Vec<u8>, text: &str, long: &'static str) -> Result<()> {
    let len = u8::try_from(text.len()).map_err(|_| Error::BadSettings(long))?;
    put(out, &[len])?;
    put(out, text.as_bytes())
}

fn put_long(out: &mut Vec<u8>, text: &str, long: &'static str) -> Result<()> {
    if text.len() > VALUE_LEN_MAX {
        return Err(Error::BadSettings(long));
    }
    put(out, &(text.len() as u16).to_le_bytes())?;
    put(out, text.as_bytes())
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], &'static str> {
    let (taken, after) = rest.split_at_checked(len).ok_or(CUT)?;
    *rest = after;
    Ok(taken)
}

fn take_u16(rest: &mut &[u8]) -> Result<usize, &'static str> {
    let bytes = take(rest, 2)?;
    Ok(usize::from(u16::from_le_bytes([bytes[0], bytes[1]])))
}

fn take_short<'a>(rest: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    let len = usize::from(take(rest, 1)?[0]);
    text(take(rest, len)?)
}

fn take_long<'a>(rest: &mut &'a [u8]) -> Result<&'a str, &'static str> {
    let len = take_u16(rest)?;
    if len > VALUE_LEN_MAX {
        return Err("a value is too long");
    }
    text(take(rest, len)?)
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recovery(keys: &[[u8; 16]]) -> Option<RecoveryKeys> {
        let mut keys = keys.iter().map(|bytes| RecoveryKey::new(*bytes));
        keys.next().map(|current| RecoveryKeys {
            current,
            replaced: keys.next(),
        })
    }

    fn packet(values: BTreeMap<String, String>, wallet: Option<&str>) -> Packet {
        Packet {
            kdf_version: 1,
            first_counter: 1,
            home_key: Key::new([7; 32]),
            name: "Ana".to_owned(),
            settings: Settings {
                values,
                wallet: wallet.map(|text| Secret::new(text.to_owned())),
            },
            recovery: None,
        }
    }

    #[test]
    fn settings_beyond_their_limits_are_refused() {
        let one = |name: String, value: String| packet([(name, value)].into(), None).encode();
        assert!(one("n".repeat(255), "v".repeat(4096)).is_ok());
        assert!(one("n".repeat(256), String::new()).is_err());
        assert!(one(String::new(), "v".repeat(4097)).is_err());
        let many = (0..16)
            .map(|i| (format!("{i:04}"), "v".repeat(4096)))
            .collect();
        assert_eq!(
            packet(many, None).encode().err().unwrap().code(),
            "bad_settings"
        );
        let many = (0..70_000)
            .map(|i| (format!("{i:04}"), String::new()))
            .collect();
        assert!(packet(many, None).encode().is_err());
    }

    #[test]
    fn short_packets_all_have_the_same_length() {
        assert_eq!(packet(BTreeMap::new(), None).encode().unwrap().len(), 256);
        assert_eq!(
            packet(BTreeMap::new(), Some(&"k".repeat(64)))
                .encode()
                .unwrap()
                .len(),
            256
        );
    }

    proptest! {
        #[test]
        fn a_packet_comes_back(
            values in prop::collection::btree_map("\\PC{0,20}", "\\PC{0,300}", 0..20),
            wallet in prop::option::of("[0-9a-f]{1,64}"),
            keys in prop::collection::vec(any::<[u8; 16]>(), 0..=2),
        ) {
            let mut before = packet(values.clone(), wallet.as_deref());
            before.recovery = recovery(&keys);
            let bytes = before.encode().unwrap();
            prop_assert_eq!(bytes.len() % PAD, 0);
            let after = Packet::decode(&bytes).unwrap();
            prop_assert_eq!(after.settings.values, values);
            prop_assert_eq!(after.settings.wallet.as_ref().map(Secret::expose), wallet.as_deref());
            prop_assert_eq!(bytes[0], if keys.is_empty() { 1 } else { 2 });
            let known = |key: &[u8; 16]| after.recovery.as_ref().is_some_and(|r| r.has(&RecoveryKey::new(*key)));
            prop_assert!(keys.iter().all(known));
            prop_assert_eq!(after.recovery.is_some(), !keys.is_empty());
            prop_assert_eq!(after.name, "Ana");
            prop_assert!(after.home_key == before.home_key);
        }

        #[test]
        fn what_decodes_is_the_one_encoding(
            mut bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 256..=512),
            cut in 0..512_usize,
            version in VERSION..=VERSION_RECOVERY,
        ) {
            bytes[0] = version;
            bytes.truncate(if cut < 256 { 256 } else { cut });
            if let Ok(packet) = Packet::decode(&bytes) {
                let encoded = packet.encode().unwrap();
                prop_assert_eq!(encoded.as_slice(), bytes.as_slice());
            }
        }

        #[test]
        fn a_flipped_byte_never_panics(place in 0..256_usize, flip in 1..=255_u8) {
            let mut bytes = packet([("lang".into(), "ca".into())].into(), Some("ff")).encode().unwrap();
            bytes[place] ^= flip;
            if let Ok(packet) = Packet::decode(&bytes) {
                let encoded = packet.encode().unwrap();
                prop_assert_eq!(encoded.as_slice(), bytes.as_slice());
            }
        }
    }
}
