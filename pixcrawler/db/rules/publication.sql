-- The front end sees changes of the tables in this publication as they happen.
DO $$
DECLARE
    missing text;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = 'supabase_realtime') THEN
        CREATE PUBLICATION supabase_realtime;
    END IF;
    FOR missing IN
        SELECT wanted.name FROM (VALUES ('crawl_jobs'), ('notifications')) AS wanted(name)
        WHERE NOT EXISTS (
            SELECT FROM pg_publication_tables
            WHERE pubname = 'supabase_realtime' AND schemaname = 'public' AND tablename = wanted.name
        )
    LOOP
        EXECUTE format('ALTER PUBLICATION supabase_realtime ADD TABLE public.%I', missing);
    END LOOP;
END $$;
