CREATE TABLE `contributions` (
	`rollout` text NOT NULL,
	`device` text NOT NULL,
	`counts` text NOT NULL,
	PRIMARY KEY(`rollout`, `device`)
);
--> statement-breakpoint
ALTER TABLE `devices` ADD `approved_at_ms` integer DEFAULT 0;