//! How often somebody may try to sign in or up: per address of origin, and per account; and codes of a second factor.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, nanos::Nanos,
    state::keyed::DashMapStateStore,
};

use super::accounts::Email;
use crate::{clock::Clock, ids::AccountId};

/// Tries from one address: a burst, then one every two seconds. An office behind one address signs in on Monday.
const ADDRESS_BURST: NonZeroU32 = NonZeroU32::new(60).expect("60 is not zero");
const ADDRESS_EVERY: Duration = Duration::from_secs(2);
/// Tries for one account: a burst, then one every twenty seconds. Guessing is hopeless, mistyping is not.
const EMAIL_BURST: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");
const EMAIL_EVERY: Duration = Duration::from_secs(20);

/// Accounts made from one address: a burst, then one a minute. Sign-up says whether an e-mail address has an account, and
/// whoever wants to know that of many has to be slow.
const SIGN_UP_BURST: NonZeroU32 = NonZeroU32::new(20).expect("20 is not zero");
const SIGN_UP_EVERY: Duration = Duration::from_mins(1);
/// Codes for one account, by somebody who knows its password: a burst, then one every two minutes. Three of a million
/// codes are right at a time: guessing all day succeeds once in 450 days, and every failure is shown to the owner.
const CODE_BURST: NonZeroU32 = NonZeroU32::new(6).expect("6 is not zero");
const CODE_EVERY: Duration = Duration::from_mins(2);

type Limiter<K> = RateLimiter<K, DashMapStateStore<K>, OurClock, NoOpMiddleware<Nanos>>;

/// Counts tries, in memory: a node that restarts forgets them, and each node counts for itself.
pub struct SignInThrottle {
    clock: Clock,
    addresses: Limiter<IpAddr>,
    emails: Limiter<String>,
    sign_ups: Limiter<IpAddr>,
    codes: Limiter<AccountId>,
}

/// Too many tries; the next makes sense in so many seconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("too many tries; try again in {retry_after_seconds} seconds")]
pub struct Throttled {
    pub retry_after_seconds: u64,
}

impl SignInThrottle {
    pub fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            addresses: limiter(ADDRESS_EVERY, ADDRESS_BURST, clock),
            emails: limiter(EMAIL_EVERY, EMAIL_BURST, clock),
            sign_ups: limiter(SIGN_UP_EVERY, SIGN_UP_BURST, clock),
            codes: limiter(CODE_EVERY, CODE_BURST, clock),
        }
    }

    /// Count a try from this address. IPv6 addresses of one /64 are one: that is what one customer gets. None (no
    /// network peer: a test, a socket) is not limited.
    pub(super) fn check_address(&self, address: Option<IpAddr>) -> Result<(), Throttled> {
        address.map_or(Ok(()), |address| check(&self.addresses, &network(address), &self.clock))
    }

    /// Count an attempt to sign up from this address, besides the others from there.
    pub(super) fn check_sign_up(&self, address: Option<IpAddr>) -> Result<(), Throttled> {
        self.check_address(address)?;
        address.map_or(Ok(()), |address| check(&self.sign_ups, &network(address), &self.clock))
    }

    /// Count a code of this account's second factor.
    pub(super) fn check_code(&self, account: AccountId) -> Result<(), Throttled> {
        check(&self.codes, &account, &self.clock)
    }

    /// Count a try for this account, whether or not there is one.
    pub(super) fn check_email(&self, email: &Email) -> Result<(), Throttled> {
        check(&self.emails, &email.key().to_owned(), &self.clock)
    }

    /// Forget who has waited long enough. Call it every minute or so; otherwise memory grows with every address.
    pub fn forget_old(&self) {
        self.addresses.retain_recent();
        self.emails.retain_recent();
        self.sign_ups.retain_recent();
        self.codes.retain_recent();
    }
}

/// What one customer gets of an internet provider: an IPv4 address, or a /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}

fn limiter<K: Clone + std::hash::Hash + Eq>(every: Duration, burst: NonZeroU32, clock: &Clock) -> Limiter<K> {
    let quota = Quota::with_period(every).expect("BUG: the period is not zero").allow_burst(burst);
    RateLimiter::new(quota, DashMapStateStore::default(), OurClock(clock.clone()))
}

fn check<K: Clone + std::hash::Hash + Eq>(
    limiter: &Limiter<K>,
    key: &K,
    clock: &Clock,
) -> Result<(), Throttled> {
    limiter.check_key(key).map_err(|not_until| {
        let wait = not_until.wait_time_from(OurClock(clock.clone()).now());
        Throttled { retry_after_seconds: wait.as_secs() + 1 }
    })
}

/// Our clock in the form that `governor` wants, so that tests can move it.
#[derive(Debug, Clone)]
struct OurClock(Clock);

impl GovernorClock for OurClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let nanos = self.0.now().unix_timestamp_nanos();
        Nanos::from(u64::try_from(nanos).unwrap_or(0))
    }
}

impl std::fmt::Debug for SignInThrottle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignInThrottle").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_can_be_tried_ten_times_and_then_slowly() {
        let clock = Clock::for_testing();
        let throttle = SignInThrottle::new(&clock);
        let email = Email::parse("ada@example.com").unwrap();
        for _ in 0..10 {
            throttle.check_email(&email).unwrap();
        }
        let wait = throttle.check_email(&Email::parse("ADA@example.com").unwrap()).unwrap_err();
        assert!((1..=21).contains(&wait.retry_after_seconds));
        assert!(throttle.check_email(&Email::parse("eve@example.com").unwrap()).is_ok());
        clock.advance(time::Duration::seconds(21));
        throttle.check_email(&email).unwrap();
        throttle.forget_old();
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        let throttle = SignInThrottle::new(&Clock::for_testing());
        for i in 0..60 {
            throttle.check_address(Some(format!("2001:db8::{i:x}").parse().unwrap())).unwrap();
        }
        assert!(throttle.check_address(Some("2001:db8::ffff".parse().unwrap())).is_err());
        assert!(throttle.check_address(Some("2001:db8:0:1::1".parse().unwrap())).is_ok());
        assert!(throttle.check_address(None).is_ok());
    }
}
