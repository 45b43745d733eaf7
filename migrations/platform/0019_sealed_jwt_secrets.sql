-- The apps' own JWT secrets are sealed with the key that seals the secrets of authenticator apps (0018): tenants use them
-- elsewhere too, and whoever reads the database, or a backup of it, has no business with them.
--
-- A secret from before this is in jwt_secret as it is; a server seals it when it starts. Sealed it has 45 bytes more: the
-- form (1), the name of the key (4), a nonce (24) and the tag (16).
--
-- mint_secret stays as it is: it is made here, signs nothing elsewhere, and nodes with different keys must be able to
-- serve the same apps.
alter table platform.app_end_user_auth
    add column sealed_jwt_secret bytea check (octet_length(sealed_jwt_secret) between 16 + 45 and 4 * 1024 + 45),
    add constraint app_jwt_secret_kept_once check (jwt_secret is null or sealed_jwt_secret is null);
