//! A key-value store with faults: what it is asked for, and what its guest is told.

use std::num::NonZeroU32;

use runner_host_kv::{
    Change, Done, Ends, Entry, Error, Expected, Key, Namespace, Namespaces, Page, Quota, Result, Store, Usage, Version,
    async_trait,
};

use super::{Asked, Faulty, Operation, Part, What};

/// What a store is asked for: an operation, its key, whether it has a condition.
fn asked<'a>(namespace: &'a Namespace, parts: impl Iterator<Item = (Operation, Option<&'a Key>, bool)>) -> Asked<'a> {
    let part = |(operation, key, conditional): (_, Option<&'a Key>, _)| Part {
        operation,
        name: key.map(Key::as_str),
        conditional,
    };
    Asked { namespace: Some(namespace), parts: parts.map(part).collect() }
}

impl<S: Store> Faulty<S> {
    /// Waits as long as it takes, and gives what goes wrong; a store that is away is an error at once.
    async fn pass(&self, asked: &Asked<'_>) -> Result<Option<What>> {
        match self.faults.pass(asked).await.map(|fault| fault.what) {
            Some(What::Unavailable | What::Error(_)) => Err(away()),
            other => Ok(other),
        }
    }

    async fn read<T>(&self, asked: Asked<'_>, answer: impl Future<Output = Result<T>>) -> Result<T> {
        match self.pass(&asked).await? {
            Some(What::Lost) => answer.await.and_then(|_| Err(away())),
            _ => answer.await,
        }
    }

    /// Writes the keys that have a condition as somebody else would; the first that is absent is the conflict itself.
    async fn overtake(&self, namespace: &Namespace, changes: &[Change]) -> Result<()> {
        for change in changes {
            let (Change::Set { key, expected, .. } | Change::Delete { key, expected }) = change else { continue };
            if *expected == Expected::Anything {
                continue;
            }
            let Some(Entry { value, version, .. }) = self.sound.get_one(namespace, key, u64::MAX).await? else {
                return Err(Error::Conflict { key: key.clone(), found: None });
            };
            let (key, expected) = (key.clone(), Expected::At(version));
            let again = Change::Set { key, value, ends: Ends::Keep, expected };
            self.sound.apply(namespace, vec![again], Quota::NONE).await?;
        }
        Ok(())
    }
}

fn away() -> Error {
    Error::unavailable("the store is away, as the test wants it")
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: Store> Store for Faulty<S> {
    async fn get_many(&self, namespace: &Namespace, keys: &[Key], bytes_max: u64) -> Result<Vec<Option<Entry>>> {
        let parts = keys.iter().map(|key| (Operation::Get, Some(key), false));
        self.read(asked(namespace, parts), self.sound.get_many(namespace, keys, bytes_max)).await
    }

    async fn get_one(&self, namespace: &Namespace, key: &Key, bytes_max: u64) -> Result<Option<Entry>> {
        let parts = [(Operation::Get, Some(key), false)];
        self.read(asked(namespace, parts.into_iter()), self.sound.get_one(namespace, key, bytes_max)).await
    }

    async fn exists(&self, namespace: &Namespace, key: &Key) -> Result<bool> {
        let parts = [(Operation::Get, Some(key), false)];
        self.read(asked(namespace, parts.into_iter()), self.sound.exists(namespace, key)).await
    }

    async fn version(&self, namespace: &Namespace, key: &Key) -> Result<Option<Version>> {
        let parts = [(Operation::Get, Some(key), false)];
        self.read(asked(namespace, parts.into_iter()), self.sound.version(namespace, key)).await
    }

    async fn list(&self, namespace: &Namespace, prefix: &str, after: Option<&Key>, limit: NonZeroU32) -> Result<Page> {
        let parts = [(Operation::List, None, false)];
        self.read(asked(namespace, parts.into_iter()), self.sound.list(namespace, prefix, after, limit)).await
    }

    async fn apply(&self, namespace: &Namespace, changes: Vec<Change>, quota: Quota) -> Result<Vec<Done>> {
        let part = |change| match change {
            &Change::Set { ref key, expected, .. } => (Operation::Set, Some(key), expected != Expected::Anything),
            &Change::Delete { ref key, expected } => (Operation::Delete, Some(key), expected != Expected::Anything),
            Change::Increment { key, .. } => (Operation::Increment, Some(key), false),
        };
        let wrong = self.pass(&asked(namespace, changes.iter().map(part))).await?;
        if wrong == Some(What::Conflict) {
            self.overtake(namespace, &changes).await?;
        }
        let done = self.sound.apply(namespace, changes, quota).await?;
        match wrong {
            Some(What::Lost) => Err(away()),
            _ => Ok(done),
        }
    }

    // What follows is the host's to ask for: no fault meets it.

    async fn usage(&self, namespace: &Namespace) -> Result<Usage> {
        self.sound.usage(namespace).await
    }

    async fn namespaces(&self, after: Option<&Namespace>, limit: NonZeroU32) -> Result<Namespaces> {
        self.sound.namespaces(after, limit).await
    }

    async fn clear(&self, namespace: &Namespace) -> Result<Usage> {
        self.sound.clear(namespace).await
    }
}
