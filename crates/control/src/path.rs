use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path in the home. In JSON a string or, when it is not UTF-8, an array of its bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathText(Vec<u8>);

impl PathText {
    /// A path of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for PathText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl Serialize for PathText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => serializer.collect_seq(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for PathText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Path;
        impl<'de> Visitor<'de> for Path {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path: a string, or an array of bytes")
            }

            fn visit_str<E>(self, text: &str) -> Result<Vec<u8>, E> {
                Ok(text.as_bytes().to_vec())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                // Bounded by the length of the request: each byte takes two of it.
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }
        let bytes = deserializer.deserialize_any(Path)?;
        if bytes.contains(&0) {
            return Err(D::Error::custom("a path cannot contain NUL"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_path_comes_back(bytes in prop::collection::vec(1_u8.., 0..300)) {
            let json = serde_json::to_string(&PathText::new(bytes.clone())).unwrap();
            let back: PathText = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back.as_bytes(), bytes);
        }
    }

    #[test]
    fn text_stays_text_and_nul_is_refused() {
        assert_eq!(
            serde_json::to_string(&PathText::from("a/é")).unwrap(),
            "\"a/é\""
        );
        assert_eq!(
            serde_json::to_string(&PathText::new([0xff])).unwrap(),
            "[255]"
        );
        assert!(serde_json::from_str::<PathText>("\"a\\u0000b\"").is_err());
        assert!(serde_json::from_str::<PathText>("[256]").is_err());
        assert!(serde_json::from_str::<PathText>("7").is_err());
    }
}
