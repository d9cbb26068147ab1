/** The version of package.json; a test holds them equal. */
export const CONTROLLER_VERSION = '0.1.0'
