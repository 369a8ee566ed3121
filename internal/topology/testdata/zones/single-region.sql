-- Topology single-region on database meridian, by zone-configurations.
-- NOT PROMISED: tables without a home (migrations, locks, subscriptions) stay where the cluster puts them, and no table has a fast copy in every region.
-- 26 statements, one at a time, each outside a transaction.

-- copies of account stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."account" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of journal stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."journal" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of entry stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."entry" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of hold stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."hold" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of payment stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."payment" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of payment_step stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."payment_step" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of player stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."player" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of relay stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."relay" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of stream stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."stream" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of progress stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."progress" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of delivery stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."delivery" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of replay stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."replay" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of search_state stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_state" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of search_transaction stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_transaction" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of search_account stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."search_account" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of callback stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."callback" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of saga stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."saga" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of saga_step stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."saga_step" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of statement stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."statement" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of statement_line stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."statement_line" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of recon_run stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_run" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of recon_result stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_result" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of recon_resolution stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_resolution" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of recon_decision stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."recon_decision" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of ledger stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."ledger" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';

-- copies of asset stand in europe-west1, and europe-west1 serves it.
-- Cost: replicas and leases move in the background; locks nothing.
ALTER TABLE "meridian"."public"."asset" CONFIGURE ZONE USING num_replicas = 3, constraints = '{"+region=europe-west1": 3}', lease_preferences = '[[+region=europe-west1]]';
