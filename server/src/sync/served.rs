//! Answers that are copied from the database piece by piece while the client takes them.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};

/// The text of an answer: all of it, or its pieces as they are read.
///
/// Between two pieces nothing is held but the place where to go on: no connection, no transaction, no text.
pub enum Served {
    Whole(Bytes),
    Pieces(BoxStream<'static, Result<Bytes, BrokenOff>>),
}

/// An answer ended before its end. The client must see that: the connection is to be broken.
#[derive(Debug, thiserror::Error)]
pub enum BrokenOff {
    #[error("what was being sent has been removed meanwhile")]
    Removed,
    #[error("what was being sent could not be read on")]
    Database(#[from] sqlx::Error),
}

/// What reads an answer on.
pub(in crate::sync) trait Rest: Sized + Send + 'static {
    /// The next piece, and what remains after it.
    fn next_piece(self) -> impl Future<Output = Result<(Bytes, Option<Self>), BrokenOff>> + Send;
}

impl Served {
    /// An answer whose first piece is there already.
    pub(in crate::sync) fn new<R: Rest>(first: Bytes, rest: Option<R>) -> Self {
        let Some(rest) = rest else { return Self::Whole(first) };
        let more = stream::try_unfold(Some(rest), |rest| async move {
            match rest {
                Some(rest) => rest.next_piece().await.map(Some),
                None => Ok(None),
            }
        });
        Self::Pieces(stream::once(async { Ok(first) }).chain(more).boxed())
    }

    /// All of it, for callers that keep it.
    pub async fn collect(self) -> Result<Bytes, BrokenOff> {
        let mut pieces = match self {
            Self::Whole(text) => return Ok(text),
            Self::Pieces(pieces) => pieces,
        };
        let mut text = Vec::new();
        while let Some(piece) = pieces.next().await {
            text.extend_from_slice(&piece?);
        }
        Ok(text.into())
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(text) => f.debug_tuple("Whole").field(&text.len()).finish(),
            Self::Pieces(_) => f.write_str("Pieces"),
        }
    }
}
