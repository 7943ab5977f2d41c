-- The roles of the front end, as Supabase has them, and that of crawl processes. Roles belong to the whole server: of
-- several databases that are prepared at once, one makes them, and the others find them.
DO $$
DECLARE
    missing record;
BEGIN
    FOR missing IN
        SELECT wanted.* FROM (VALUES
            ('anon', 'NOLOGIN'),
            ('authenticated', 'NOLOGIN'),
            ('service_role', 'NOLOGIN BYPASSRLS'),
            ('pixcrawler_worker', 'LOGIN')
        ) AS wanted(name, attributes)
        WHERE to_regrole(wanted.name) IS NULL
    LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', missing.name, missing.attributes);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
END $$;

-- What every connection of ours asks for itself, for poolers that refuse to pass it on.
DO $$
DECLARE
    setting record;
BEGIN
    FOR setting IN
        SELECT wanted.* FROM (VALUES
            ('timezone', 'UTC'),
            ('jit', 'off'),
            ('statement_timeout', '30s'),
            ('idle_in_transaction_session_timeout', '10s')
        ) AS wanted(name, value)
        WHERE NOT EXISTS (
            SELECT FROM pg_db_role_setting, unnest(setconfig) AS given
            WHERE setdatabase = 0 AND setrole = 'pixcrawler_worker'::regrole
            AND lower(given) = lower(wanted.name || '=' || wanted.value)
        )
    LOOP
        EXECUTE format('ALTER ROLE pixcrawler_worker SET %I = %L', setting.name, setting.value);
    END LOOP;
END $$;
