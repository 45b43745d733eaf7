-- The secrets of authenticator apps are sealed with a key that is not in the database (auth::sealing, in which their form
-- is described): whoever reads the database, or a backup of it, cannot make codes.
--
-- A secret from before this is 20 bytes as they are; a server seals it when it starts. Sealed it is 65: the form (1), the
-- name of the key (4), a nonce (24), the secret (20) and its tag (16).
alter table platform.totp
    drop constraint totp_secret_check,
    add constraint totp_secret_form check (octet_length(secret) in (20, 65));
