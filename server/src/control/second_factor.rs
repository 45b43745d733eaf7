//! The second factor of an account: a code from an authenticator app, or a recovery code in its stead.
//!
//! Setting up: [`ControlPlane::begin_totp`] makes a secret, [`ControlPlane::confirm_totp`] takes the first code, and from
//! then on sign-in asks for one ([`ControlPlane::check_code`]). Every check is counted against the account, whoever asks.

use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{
    ControlPlane,
    accounts::{Account, SignInError},
    security_events::{Origin, SecurityEventKind},
    throttle::Throttled,
};
use crate::{
    auth::{
        sealing::CannotOpen,
        secret_token::{HashedToken, PlainToken},
        totp::TotpSecret,
    },
    ids::AccountId,
};

/// How many recovery codes an account gets at a time.
const RECOVERY_CODES: usize = 10;
/// How long a secret that nobody confirmed can be looked at.
const SET_UP_WITHIN: time::Duration = time::Duration::minutes(30);

/// A second factor that is asked for.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct SecondFactor {
    pub since: OffsetDateTime,
    pub recovery_codes_left: i64,
}

/// What stood in for the second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Code,
    RecoveryCode,
}

/// Why a second factor was not changed, or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum FactorError {
    #[error("this is not your password")]
    WrongPassword,
    #[error("this code is not right, or it was used already")]
    WrongCode,
    #[error("a second factor is in use already")]
    AlreadyOn,
    #[error("no second factor is being set up")]
    NotBegun,
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error("the password could not be checked")]
    Password(#[source] SignInError),
    #[error("the second factor cannot be opened")]
    Sealed(#[from] CannotOpen),
    #[error("the second factor could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<SignInError> for FactorError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Wrong => Self::WrongPassword,
            SignInError::Throttled(throttled) => Self::Throttled(throttled),
            SignInError::Database(error) => Self::Database(error),
            SignInError::Password(_) => Self::Password(error),
        }
    }
}

impl ControlPlane {
    /// The account's second factor; None if sign-in asks for none.
    pub async fn second_factor(&self, account: AccountId) -> Result<Option<SecondFactor>, sqlx::Error> {
        sqlx::query_as(
            "select t.confirmed_at as since,
                 (select count(*) from platform.recovery_code r
                  where r.account_id = t.account_id and r.used_at is null) as recovery_codes_left
             from platform.totp t
             where t.account_id = $1 and t.confirmed_at is not null",
        )
        .bind(account)
        .fetch_optional(&self.pool)
        .await
    }

    /// Begin to set a second factor up, if `password` is the account's: a new secret in place of one never confirmed.
    pub async fn begin_totp(&self, account: &Account, password: &str) -> Result<(), FactorError> {
        self.confirm_password(account, password).await?;
        let begun = sqlx::query(
            "insert into platform.totp (account_id, secret, created_at) values ($1, $2, $3)
             on conflict (account_id) do update
                 set secret = excluded.secret, created_at = excluded.created_at, last_step = 0
                 where totp.confirmed_at is null",
        )
        .bind(account.account_id)
        .bind(self.sealed(account.account_id, &TotpSecret::generate(&self.chance)))
        .bind(self.clock.now())
        .execute(&self.pool)
        .await?;
        if begun.rows_affected() == 0 {
            return Err(FactorError::AlreadyOn);
        }
        Ok(())
    }

    /// The secret that is being set up; None if there is none, it was confirmed, or it was left lying for half an hour.
    pub async fn totp_being_set_up(&self, account: AccountId) -> Result<Option<TotpSecret>, FactorError> {
        let stored = self.stored_being_set_up(account).await?;
        Ok(stored.map(|stored| self.opened(account, &stored)).transpose()?)
    }

    /// That secret as it is stored.
    async fn stored_being_set_up(&self, account: AccountId) -> Result<Option<Vec<u8>>, sqlx::Error> {
        sqlx::query_scalar(
            "select secret from platform.totp
             where account_id = $1 and confirmed_at is null and created_at > $2",
        )
        .bind(account)
        .bind(self.clock.now() - SET_UP_WITHIN)
        .fetch_optional(&self.pool)
        .await
    }

    /// Ask for the second factor from now on, if `typed` is a code of the secret that is being set up. Returns the
    /// recovery codes, which are shown once.
    pub async fn confirm_totp(
        &self,
        account: &Account,
        typed: &str,
        origin: &Origin,
    ) -> Result<Vec<PlainToken>, FactorError> {
        self.throttle.check_code(account.account_id)?;
        let stored = self.stored_being_set_up(account.account_id).await?.ok_or(FactorError::NotBegun)?;
        let secret = self.opened(account.account_id, &stored)?;
        let now = self.clock.now();
        let step = secret.step_of(&digits(typed), now, 0).ok_or(FactorError::WrongCode)?;
        let mut tx = self.pool.begin().await?;
        let confirmed = sqlx::query(
            "update platform.totp set confirmed_at = $3, last_step = $4
             where account_id = $1 and secret = $2 and confirmed_at is null",
        )
        .bind(account.account_id)
        .bind(stored)
        .bind(now)
        .bind(step)
        .execute(&mut *tx)
        .await?;
        if confirmed.rows_affected() == 0 {
            return Err(FactorError::NotBegun);
        }
        let codes = self.replace_recovery_codes(&mut tx, account.account_id).await?;
        let kind = SecurityEventKind::TotpEnabled;
        self.record_security_event(&mut tx, account.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Ask for no second factor any more, if both the password and a code are right.
    pub async fn disable_totp(
        &self,
        account: &Account,
        (password, code): (&str, &str),
        origin: &Origin,
    ) -> Result<(), FactorError> {
        self.confirm_password(account, password).await?;
        self.check_code(account.account_id, code, origin).await?;
        let mut tx = self.pool.begin().await?;
        for sql in [
            "delete from platform.recovery_code where account_id = $1",
            "delete from platform.totp where account_id = $1",
        ] {
            sqlx::query(sql).bind(account.account_id).execute(&mut *tx).await?;
        }
        let kind = SecurityEventKind::TotpDisabled;
        self.record_security_event(&mut tx, account.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok(())
    }

    /// New recovery codes in place of the old, if both the password and a code are right. They are shown once.
    pub async fn new_recovery_codes(
        &self,
        account: &Account,
        (password, code): (&str, &str),
        origin: &Origin,
    ) -> Result<Vec<PlainToken>, FactorError> {
        self.confirm_password(account, password).await?;
        self.check_code(account.account_id, code, origin).await?;
        let mut tx = self.pool.begin().await?;
        let codes = self.replace_recovery_codes(&mut tx, account.account_id).await?;
        let kind = SecurityEventKind::RecoveryCodesReplaced;
        self.record_security_event(&mut tx, account.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok(codes)
    }

    /// Take what was typed as the account's second factor: a code of now that was not used, or a recovery code that was
    /// not used. Either is used up by it.
    pub async fn check_code(
        &self,
        account: AccountId,
        typed: &str,
        origin: &Origin,
    ) -> Result<Proof, FactorError> {
        self.throttle.check_code(account)?;
        let digits = digits(typed);
        let proof = if digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            self.use_code(account, &digits).await?.then_some(Proof::Code)
        } else {
            self.use_recovery_code(account, typed, origin).await?.then_some(Proof::RecoveryCode)
        };
        match proof {
            Some(proof) => Ok(proof),
            None => {
                self.note_security_event(account, SecurityEventKind::CodeRefused, origin).await?;
                Err(FactorError::WrongCode)
            }
        }
    }

    async fn use_code(&self, account: AccountId, digits: &str) -> Result<bool, FactorError> {
        let kept: Option<(Vec<u8>, i64)> = sqlx::query_as(
            "select secret, last_step from platform.totp where account_id = $1 and confirmed_at is not null",
        )
        .bind(account)
        .fetch_optional(&self.pool)
        .await?;
        let Some((stored, last)) = kept else { return Ok(false) };
        let secret = self.opened(account, &stored)?;
        let Some(step) = secret.step_of(digits, self.clock.now(), last) else { return Ok(false) };
        // Whoever sends the same code at the same moment finds the step taken.
        let used = sqlx::query(
            "update platform.totp set last_step = $2
             where account_id = $1 and last_step < $2 and confirmed_at is not null",
        )
        .bind(account)
        .bind(step)
        .execute(&self.pool)
        .await?;
        Ok(used.rows_affected() == 1)
    }

    async fn use_recovery_code(
        &self,
        account: AccountId,
        typed: &str,
        origin: &Origin,
    ) -> Result<bool, sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        let used = sqlx::query(
            "update platform.recovery_code set used_at = $3
             where account_id = $1 and code_hash = $2 and used_at is null",
        )
        .bind(account)
        .bind(recovery_hash(typed).as_bytes())
        .bind(self.clock.now())
        .execute(&mut *tx)
        .await?;
        if used.rows_affected() == 0 {
            return Ok(false);
        }
        self.record_security_event(&mut tx, account, SecurityEventKind::RecoveryCodeUsed, origin).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn replace_recovery_codes(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        account: AccountId,
    ) -> Result<Vec<PlainToken>, sqlx::Error> {
        sqlx::query("delete from platform.recovery_code where account_id = $1")
            .bind(account)
            .execute(&mut **tx)
            .await?;
        let codes: Vec<PlainToken> = (0..RECOVERY_CODES).map(|_| self.recovery_code()).collect();
        let hashes: Vec<Vec<u8>> =
            codes.iter().map(|code| recovery_hash(code.expose()).as_bytes().to_vec()).collect();
        sqlx::query(
            "insert into platform.recovery_code (account_id, code_hash) select $1, unnest($2::bytea[])",
        )
        .bind(account)
        .bind(hashes)
        .execute(&mut **tx)
        .await?;
        Ok(codes)
    }

    /// Sixteen letters and digits that cannot be mistaken for each other, in fours: 80 bits.
    fn recovery_code(&self) -> PlainToken {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
        let mut text = String::with_capacity(19);
        for (place, byte) in self.chance.bytes::<16>().into_iter().enumerate() {
            if place > 0 && place % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(ALPHABET[usize::from(byte % 32)]));
        }
        PlainToken::from_request(&text)
    }
}

/// What was typed without the blanks that authenticators show.
fn digits(typed: &str) -> String {
    typed.chars().filter(|c| !c.is_whitespace()).take(20).collect()
}

/// A recovery code is the same in small letters, and without its dashes.
fn recovery_hash(typed: &str) -> HashedToken {
    let plain: String = typed
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .take(40)
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    PlainToken::from_request(&plain).hash()
}
