use std::sync::Arc;

use safeos_account::Account;

use crate::sync::synchronizer::Synchronizer;

/// Publishes and merges, for the thread that holds the sync base.
pub(crate) struct Publisher<'a> {
    pub(crate) sync: &'a Synchronizer,
    /// The account as it was at the beginning.
    pub(crate) account: Arc<Account>,
    /// Merge also a state without a known common base with ours. The person was asked.
    pub(crate) unrelated: bool,
}

impl<'a> Publisher<'a> {
    /// A publisher for the account as it is now.
    pub(crate) fn new(sync: &'a Synchronizer, unrelated: bool) -> Self {
        Self {
            sync,
            account: sync.account.read().clone(),
            unrelated,
        }
    }
}
