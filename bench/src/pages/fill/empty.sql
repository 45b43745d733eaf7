select exists (select from {schema}._sync_scope) or exists (select from {schema}._sync_device)
    or exists (select from {schema}._sync_bundle) or exists (select from {schema}.{table})
