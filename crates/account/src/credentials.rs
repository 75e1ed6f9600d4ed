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
