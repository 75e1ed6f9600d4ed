use crate::Secret;

/// The credentials of a person.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account's name as typed.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// The optional 128-bit secret key, as typed from the sheet.
    pub secret_key: Option<Secret>,
}

impl Credentials {
    /// Without a secret key.
    pub fn new(name: impl Into<String>, password: Secret) -> Self {
        Self {
            name: name.into(),
            password,
            secret_key: None,
        }
    }
}
