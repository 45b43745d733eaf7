//! Accounts: signing up, signing in, changing the password, and the account's end.

use sqlx::{Postgres, Transaction};
use time::OffsetDateTime;

use super::{
    ControlPlane,
    audit::{Action, Actor},
    constraint,
    members::{self, MemberError},
    roles::Role,
    security_events::{Origin, SecurityEventKind},
    slugs::Slug,
    tenants::{self, Tenant, TenantName},
    throttle::Throttled,
};
use crate::{
    auth::password::{HashedPassword, Password, PasswordError},
    ids::AccountId,
};

/// An e-mail address, as typed and in the form that makes it unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    typed: String,
    key: String,
}

/// The text is no e-mail address that we could write to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not an e-mail address")]
pub struct InvalidEmail;

impl Email {
    /// Something, an `@`, something with a dot or `localhost`; at most 254 characters; no blanks, no control characters.
    pub fn parse(typed: &str) -> Result<Self, InvalidEmail> {
        let typed = typed.trim();
        let (local, domain) = typed.rsplit_once('@').ok_or(InvalidEmail)?;
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        let domain_fits = (domain.contains('.') || domain.eq_ignore_ascii_case("localhost"))
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !domain.contains("..")
            && domain.chars().all(|c| plain(c) && !"@<>()[]\\,;:\"/".contains(c));
        let local_fits = !local.is_empty() && local.chars().all(|c| plain(c) && !"<>,;\"\\@".contains(c));
        if !local_fits || !domain_fits || typed.chars().count() > 254 {
            return Err(InvalidEmail);
        }
        Ok(Self { typed: typed.to_owned(), key: typed.to_lowercase() })
    }

    /// As the person typed it.
    pub fn as_str(&self) -> &str {
        &self.typed
    }

    /// In lower case: what is unique.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// A person who can sign in.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Account {
    pub account_id: AccountId,
    pub email: String,
    pub created_at: OffsetDateTime,
}

impl Account {
    /// The account as the one who does something, from nowhere in particular: extractors add the address.
    pub fn actor(&self) -> Actor {
        Actor::Account { id: self.account_id, email: self.email.clone(), address: None }
    }
}

/// A person who has no account yet.
#[derive(Debug)]
pub struct NewPerson {
    pub email: Email,
    pub password: Password,
}

/// What a person needs to begin with an organisation of their own.
#[derive(Debug)]
pub struct NewAccount {
    pub email: Email,
    pub password: Password,
    pub tenant_name: TenantName,
    pub tenant_slug: Slug,
}

/// Why nobody was signed up.
#[derive(Debug, thiserror::Error)]
pub enum SignUpError {
    #[error("there is an account with this address")]
    EmailTaken,
    #[error("there is a tenant with this slug")]
    SlugTaken,
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error("the password could not be hashed")]
    Password(#[from] PasswordError),
    #[error("the account could not be written")]
    Database(#[from] sqlx::Error),
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// No such account, or another password; which of them is not told.
    #[error("the address or the password is wrong")]
    Wrong,
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error("the password could not be checked")]
    Password(#[from] PasswordError),
    #[error("the account could not be read")]
    Database(#[from] sqlx::Error),
}

/// A person whose password was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstStep {
    /// That is all there is to it.
    Done(Account),
    /// The account has a second factor: nobody is signed in before its code is.
    CodeNeeded(Account),
}

/// Why an account is still there.
#[derive(Debug, thiserror::Error)]
pub enum DeleteAccountError {
    #[error("what was typed is not the account's address")]
    AddressDiffers,
    #[error("the account is the last owner of {}", .0.join(", "))]
    LastOwnerOf(Vec<String>),
    #[error("the account could not be removed")]
    Database(#[from] sqlx::Error),
}

impl ControlPlane {
    /// Make an account, its tenant, and the account the tenant's owner.
    pub async fn sign_up(&self, new: NewAccount, origin: &Origin) -> Result<(Account, Tenant), SignUpError> {
        self.throttle.check_sign_up(origin.address)?;
        let hash = self.passwords.hash(new.password).await?;
        let mut tx = self.pool.begin().await?;
        let account = self.insert_account(&mut tx, &new.email, hash).await?;
        let (name, slug, by) = (&new.tenant_name, &new.tenant_slug, account.actor().at(origin.address));
        let tenant =
            tenants::insert(&mut tx, &self.clock, &account, &by, name, slug).await.map_err(|error| {
                match constraint(&error) {
                    Some("tenant_slug_taken") => SignUpError::SlugTaken,
                    _ => SignUpError::Database(error),
                }
            })?;
        let kind = SecurityEventKind::SignedUp;
        self.record_security_event(&mut tx, account.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok((account, tenant))
    }

    /// The account of this address, if the password is its own. Takes as long when there is no such account.
    pub async fn sign_in(
        &self,
        email: &str,
        password: &str,
        origin: &Origin,
    ) -> Result<FirstStep, SignInError> {
        self.throttle.check_address(origin.address)?;
        // What is no address or no password at all cannot be anybody's, but is tried all the same: constant work.
        let email = Email::parse(email).ok();
        if let Some(email) = &email {
            self.throttle.check_email(email)?;
        }
        let known = match &email {
            Some(email) => self.account_and_hash(email).await?,
            None => None,
        };
        let Some(password) = Password::claimed(password) else { return Err(SignInError::Wrong) };
        let (account, hash) = known.unzip();
        let account = match (self.passwords.verify(password, hash).await?, account) {
            (true, Some(account)) => account,
            _ => return Err(SignInError::Wrong),
        };
        Ok(match self.second_factor(account.account_id).await? {
            Some(_) => FirstStep::CodeNeeded(account),
            None => FirstStep::Done(account),
        })
    }

    /// Whether this is the account's password, counted against it like a sign-in.
    pub async fn confirm_password(&self, account: &Account, typed: &str) -> Result<(), SignInError> {
        let email = Email::parse(&account.email).map_err(|_| SignInError::Wrong)?;
        self.throttle.check_email(&email)?;
        let (_, hash) = self.account_and_hash(&email).await?.unzip();
        let typed = Password::claimed(typed).ok_or(SignInError::Wrong)?;
        match self.passwords.verify(typed, hash).await? {
            true => Ok(()),
            false => Err(SignInError::Wrong),
        }
    }

    /// Replace the password, if `current` is the present one.
    pub async fn change_password(
        &self,
        account: &Account,
        current: &str,
        new: Password,
        origin: &Origin,
    ) -> Result<(), SignInError> {
        self.confirm_password(account, current).await?;
        let hash = self.passwords.hash(new).await?;
        let mut tx = self.pool.begin().await?;
        sqlx::query("update platform.account set password_hash = $2 where account_id = $1")
            .bind(account.account_id)
            .bind(hash)
            .execute(&mut *tx)
            .await?;
        let kind = SecurityEventKind::PasswordChanged;
        self.record_security_event(&mut tx, account.account_id, kind, origin).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Delete the account, with its sessions and memberships, if `typed` is its address. The caller has asked for the
    /// password. What the account did stays in the audit logs of its tenants, under its address.
    pub async fn delete_account(
        &self,
        account: &Account,
        actor: &Actor,
        typed: &str,
    ) -> Result<(), DeleteAccountError> {
        if typed.trim().to_lowercase() != account.email.to_lowercase() {
            return Err(DeleteAccountError::AddressDiffers);
        }
        let mut tx = self.pool.begin().await?;
        // All its tenants are locked, in one order, before anything is decided.
        let tenants: Vec<Tenant> = sqlx::query_as(
            "select t.tenant_id, t.slug, t.name, t.created_at
             from platform.tenant t
             join platform.member m on m.tenant_id = t.tenant_id and m.account_id = $1
             order by t.tenant_id
             for update of t",
        )
        .bind(account.account_id)
        .fetch_all(&mut *tx)
        .await?;
        let mut alone_in = Vec::new();
        for tenant in tenants {
            let member = match members::member(&mut tx, tenant.tenant_id, account.account_id).await {
                Ok(member) => member,
                // Removed between the join and the lock.
                Err(MemberError::Database(error)) => return Err(error.into()),
                Err(_) => continue,
            };
            if member.role == Role::Owner {
                match members::keep_an_owner(&mut tx, tenant.tenant_id).await {
                    Ok(()) => {}
                    Err(MemberError::Database(error)) => return Err(error.into()),
                    Err(_) => {
                        alone_in.push(tenant.name);
                        continue;
                    }
                }
            }
            self.end_membership(&mut tx, &tenant, actor, Action::MemberLeft, &member).await?;
        }
        if !alone_in.is_empty() {
            return Err(DeleteAccountError::LastOwnerOf(alone_in));
        }
        sqlx::query("delete from platform.account where account_id = $1")
            .bind(account.account_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The account of that id; None if it is gone.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, sqlx::Error> {
        sqlx::query_as("select account_id, email, created_at from platform.account where account_id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    pub(super) async fn account_by_email(&self, email: &Email) -> Result<Option<Account>, sqlx::Error> {
        Ok(self.account_and_hash(email).await?.map(|(account, _)| account))
    }

    async fn account_and_hash(
        &self,
        email: &Email,
    ) -> Result<Option<(Account, HashedPassword)>, sqlx::Error> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            account: Account,
            password_hash: HashedPassword,
        }
        let row: Option<Row> = sqlx::query_as(
            "select account_id, email, created_at, password_hash from platform.account where email_key = $1",
        )
        .bind(email.key())
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| (row.account, row.password_hash)))
    }

    pub(super) async fn insert_account(
        &self,
        tx: &mut Transaction<'_, Postgres>,
        email: &Email,
        hash: HashedPassword,
    ) -> Result<Account, SignUpError> {
        let account = Account {
            account_id: AccountId::new(),
            email: email.as_str().to_owned(),
            created_at: self.clock.now(),
        };
        sqlx::query(
            "insert into platform.account (account_id, email, email_key, password_hash, created_at)
             values ($1, $2, $3, $4, $5)",
        )
        .bind(account.account_id)
        .bind(&account.email)
        .bind(email.key())
        .bind(hash)
        .bind(account.created_at)
        .execute(&mut **tx)
        .await
        .map_err(|error| match constraint(&error) {
            Some("account_email_taken") => SignUpError::EmailTaken,
            _ => SignUpError::Database(error),
        })?;
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_recognised_whatever_their_case() {
        let email = Email::parse(" Ada.Lovelace@Example.COM ").unwrap();
        assert_eq!((email.as_str(), email.key()), ("Ada.Lovelace@Example.COM", "ada.lovelace@example.com"));
        assert!(Email::parse("zoë@exämple.org").is_ok());
        assert!(Email::parse("dev@localhost").is_ok());
        for wrong in
            ["", "ada", "@example.com", "ada@", "a b@example.com", "ada@example", "a@b@c.de,", "x\0@y.de"]
        {
            assert!(Email::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Email::parse(&format!("{}@example.com", "x".repeat(250))).is_err());
    }
}
